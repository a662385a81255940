#!/usr/bin/env python3
"""komainu guard on the running kernel, with a small real server: learn, stay quiet, misuse, bad circumstances.

usage: guard_live.py KOMAINU SCHEMA RULES
Needs root and BTF; skips (77) with its reason otherwise. Waits for what it expects, with a generous time-out.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

KOMAINU, SCHEMA, RULES = sys.argv[1:4]
PATIENCE_S = 40

SERVER = r'''
import os, socket, subprocess, sys
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(('127.0.0.1', 0))
server.listen(16)
print(server.getsockname()[1], flush=True)
while True:
    peer, _ = server.accept()
    word = peer.recv(100).decode()
    if word == 'shell':
        subprocess.run(['/bin/sh', '-c', 'exit 0'])
    elif word == 'wait':
        subprocess.run(['/bin/sh', '-c', 'sleep 3'])
    elif word == 'children':
        for _ in range(1000):
            if os.fork() == 0:
                os._exit(0)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
    elif word == 'calls':
        for _ in range(3000000):
            os.getppid()
    elif word == 'name':
        subprocess.run([b'/bin/true', b'\x1b[2J\n\xff'])
    elif word == 'setuid':
        open(sys.argv[1] + '.tool', 'w').close()
        os.chmod(sys.argv[1] + '.tool', 0o4755)
    elif word == 'etc':
        open('/etc/group').read()
    with open(sys.argv[1]) as page:
        peer.sendall(page.read().encode())
    peer.close()
'''


guards = []


def skip(why):
    print('skipped:', why)
    sys.exit(77)


class Failure(Exception):
    pass


def check(truth, what):
    if not truth:
        raise Failure(what)


class Server:
    def __init__(self, folder, python='/usr/bin/python3'):
        self.page = os.path.join(folder, 'page')
        with open(self.page, 'w', encoding='utf-8') as f:
            f.write('hello')
        program = os.path.join(folder, 'server.py')
        with open(program, 'w', encoding='utf-8') as f:
            f.write(SERVER)
        self.process = subprocess.Popen([python, program, self.page], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def ask(self, word):
        with socket.create_connection(('127.0.0.1', self.port), timeout=PATIENCE_S) as peer:
            peer.sendall(word.encode())
            return peer.recv(100)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Guard:
    def __init__(self, folder, name, *options, pid=None, remembers=False):
        snapshot = os.path.join(folder, 'store', '.incidents.json')
        if os.path.exists(snapshot) and not remembers:
            os.unlink(snapshot)
        self.alerts_path = os.path.join(folder, name + '.jsonl')
        self.log_path = os.path.join(folder, name + '.log')
        arguments = [KOMAINU, 'guard', '--rules', RULES, '--store', os.path.join(folder, 'store'), '--guarded',
                     os.path.join(folder, name + '.guarded'), '--format', 'none', '-o', 'jsonl=' + self.alerts_path]
        if pid:
            arguments += ['--pid', str(pid)]
        self.process = subprocess.Popen(arguments + list(options), stderr=open(self.log_path, 'w'))
        guards.append(self)

    def log(self):
        with open(self.log_path, encoding='utf-8') as f:
            return f.read()

    def alerts(self):
        if not os.path.exists(self.alerts_path):
            return []
        with open(self.alerts_path, encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.endswith('\n')]

    def wait_for(self, truth, what):
        end = time.monotonic() + PATIENCE_S
        while not truth():
            if self.process.poll() is not None:
                raise Failure(f'the guard ended with {self.process.returncode} before {what}: {self.log()}')
            if time.monotonic() > end:
                raise Failure(f'no {what} within {PATIENCE_S} s: {self.log()}')
            time.sleep(0.02)

    def wait_said(self, text):
        self.wait_for(lambda: text in self.log(), f"line with '{text}'")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def has(alert, key):
    return alert['incident']['key'] == key


def learn(folder, server):
    guard = Guard(folder, 'learn', '--learn', '4s', '--record', os.path.join(folder, 'learn.kmt'),
                  pid=server.process.pid)
    guard.wait_said('guarded')
    listed = os.path.join(folder, 'learn.guarded')
    guard.wait_for(lambda: os.path.exists(listed) and os.path.getsize(listed) > 0, 'list of guarded daemons')
    with open(listed, encoding='utf-8') as f:
        name = f.read().strip()
    check(name.startswith('python3'), f'guarded: {name}')
    end = time.monotonic() + PATIENCE_S
    while 'learned from' not in guard.log():
        check(time.monotonic() < end, 'never learned: ' + guard.log())
        server.ask('page')
    return guard, name


def quiet_then_misuse(folder, server):
    guard, name = learn(folder, server)
    for _ in range(50):
        server.ask('page')
    check(guard.alerts() == [], f'alerts in quiet: {guard.alerts()}')
    began = time.time()
    server.ask('shell')
    guard.wait_for(lambda: any(has(a, 'exec /bin/sh') for a in guard.alerts()), 'alert about the shell')
    latency = time.time() - began
    alert = next(a for a in guard.alerts() if has(a, 'exec /bin/sh'))
    check('/bin/sh' in alert['sentence'] and alert['advice'], f'sentence: {alert}')
    check(any(e['id'] == 'first.exec' for e in alert['evidence']), f'evidence: {alert}')
    check(alert['subject']['daemon'] == name, f'subject: {alert}')
    server.ask('etc')
    guard.wait_for(lambda: any(has(a, 'open read /etc/group') for a in guard.alerts()), 'alert about /etc')
    server.ask('shell')
    server.ask('name')
    guard.wait_for(lambda: any('/bin/true' in a['incident']['key'] for a in guard.alerts()), 'alert with a bad name')
    with open(guard.alerts_path, 'rb') as f:
        check(b'\x1b' not in f.read(), 'an escape character in the alerts')
    check(sum(has(a, 'exec /bin/sh') for a in guard.alerts()) == 1, 'one incident was told twice')
    check(guard.stop() == 0, 'exit status')
    check(not os.path.exists(os.path.join(folder, 'learn.guarded')), 'the list of guarded daemons is left behind')
    check('lost' in guard.log(), 'no summary')
    return latency


def stored_profile(folder, server):
    guard = Guard(folder, 'stored', '--learn', '1h', pid=server.process.pid)
    guard.wait_said('guarded')
    server.ask('page')
    server.ask('wait')
    guard.wait_for(lambda: any(has(a, 'exec /bin/sh') for a in guard.alerts()), 'alert by the stored profile')
    check(guard.stop(signal.SIGINT) == 0, 'exit status')
    check('learned from' not in guard.log(), 'it learned again')


def desk(folder, *arguments, store='desk.db'):
    done = subprocess.run([KOMAINU, *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, 'KOMAINU_STORE': os.path.join(folder, store)})
    check(done.returncode == 0, f'{arguments}: {done.stderr}')
    return done.stdout


def incidents(folder, key):
    """Ids of the incidents whose finding is about this act."""
    found = [str(i['id']) for i in json.loads(desk(folder, 'alerts', 'list', '--all', '-f', 'json'))['incidents']]
    return [i for i in found if '/' + key in desk(folder, 'alerts', 'show', i, '-f', 'json')]


def decided(folder, server):
    """What is decided at the desk changes what the running guard tells, and undoing it changes it back."""
    guard = Guard(folder, 'decided', '--desk', os.path.join(folder, 'desk.db'), '--budget', '1000', '--host-budget',
                  '1000', pid=server.process.pid)
    guard.wait_said('guarded')
    for word, key in (('etc', 'open read /etc/group'), ('shell', 'exec /bin/sh')):
        def told():
            return sum(has(a, key) for a in guard.alerts())
        server.ask(word)
        guard.wait_for(lambda: told() == 1, f'alert about {key}')
        guard.wait_for(lambda: incidents(folder, key), f'incident of {key}')
        number = incidents(folder, key)[-1]
        before = guard.log().count('is applied')
        desk(folder, 'alerts', 'decide', number, 'benign-learn', '--note', 'planned')
        guard.wait_for(lambda: guard.log().count('is applied') > before, f'decision about {key}')
        check('alone silences' not in guard.log(), 'nothing was learned: ' + guard.log())
        check('profile.accept' in desk(folder, 'audit', 'list'), 'no entry in the audit log')
        check('"applied_at": null' not in desk(folder, 'alerts', 'show', number, '-f', 'json'), 'not acknowledged')
        alerts = len(guard.alerts())
        for _ in range(3):
            server.ask(word)
        server.ask('name')  # another strange act, told after them: then they have been judged
        guard.wait_for(lambda: any('/bin/true' in a['incident']['key'] for a in guard.alerts()), 'the act between')
        check(told() == 1, f'{key} is told although it was learned: {guard.alerts()[alerts:]}')
        undone = guard.log().count('is undone')
        desk(folder, 'alerts', 'undo', number, '--note', 'was not planned')
        guard.wait_for(lambda: guard.log().count('is undone') > undone, f'undoing of {key}')
        server.ask(word)
        guard.wait_for(lambda: told() == 2, f'alert about {key} after the undoing')
    check(guard.stop() == 0, 'exit status')
    check('cannot record' not in guard.log(), guard.log())


def kept_back(folder, server):
    """What is over the guard's budget is no alert, and reaches the desk all the same."""
    guard = Guard(folder, 'keptback', '--desk', os.path.join(folder, 'kept.db'), '--budget', '1', '--host-budget', '1',
                  pid=server.process.pid)
    guard.wait_said('guarded')
    def known():
        listed = json.loads(desk(folder, 'alerts', 'list', '--all', '-f', 'json', store='kept.db'))['incidents']
        return {key for i in listed for key in ('exec /bin/sh', 'exec /bin/true')
                if '/' + key in desk(folder, 'alerts', 'show', str(i['id']), '-f', 'json', store='kept.db')}
    server.ask('shell')
    guard.wait_for(lambda: any(has(a, 'exec /bin/sh') for a in guard.alerts()), 'alert about the shell')
    for _ in range(3):
        server.ask('name')
        server.ask('etc')
    guard.wait_for(lambda: len(known()) == 2, 'incident over the budget at the desk')
    check(len(guard.alerts()) <= 2, f'the budget is not kept: {guard.alerts()}')
    check(guard.stop() == 0, 'exit status')


def remembered(folder, server):
    """A restart neither repeats an incident nor renews the budget; a damaged snapshot is said."""
    snapshot = os.path.join(folder, 'store', '.incidents.json')
    def guarded(name):
        guard = Guard(folder, name, '--budget', '1', pid=server.process.pid, remembers=True)
        guard.wait_said('guarded')
        return guard
    if os.path.exists(snapshot):
        os.unlink(snapshot)
    first = guarded('remembered1')
    server.ask('shell')
    first.wait_for(lambda: len(first.alerts()) >= 1, 'first alert')
    check(first.stop() == 0 and os.path.getsize(snapshot) > 0, 'no snapshot')
    second = guarded('remembered2')
    server.ask('shell')
    server.ask('name')
    check(second.stop() == 0, 'exit status')
    check(all(not has(a, 'exec /bin/sh') for a in second.alerts()), f'told again: {second.alerts()}')
    check(len(second.alerts()) <= 1, f'the budget began anew: {second.alerts()}')
    with open(snapshot, 'w', encoding='utf-8') as f:
        f.write('{"schema": "komainu.incidents/1", "incid')
    third = guarded('remembered3')
    server.ask('shell')
    third.wait_for(lambda: len(third.alerts()) >= 1, 'alert with a damaged snapshot')
    check(third.log().count('begins anew') == 1, 'the damage is not said: ' + third.log())
    check(third.stop() == 0, 'exit status')
    with open(snapshot, encoding='utf-8') as f:
        json.load(f)


def changed(folder):
    """The same program with one more byte keeps its build id, and is told."""
    home = os.path.join(folder, 'copied')
    os.mkdir(home)
    copy = os.path.join(home, 'copied-python')
    shutil.copy(os.path.realpath('/usr/bin/python3'), copy)
    for name, byte in (('changed1', None), ('changed2', b''), ('changed3', b'\n')):
        with open(copy, 'ab') as f:
            f.write(byte or b'')
        server = Server(home, copy)
        try:
            guard = Guard(folder, name, *(['--learn', '2s'] if byte is None else []), pid=server.process.pid)
            guard.wait_said('guarded')
            server.ask('page')

            def told():
                return any('program.changed' in a['incident']['key'] for a in guard.alerts())
            if byte is None:
                def learned():
                    server.ask('page')
                    return 'learned from' in guard.log()
                guard.wait_for(learned, 'profile')
            elif byte:
                guard.wait_for(told, 'finding about the changed program')
            check(guard.stop() == 0, 'exit status')
            check(byte or not told(), f'the same program is told as changed: {guard.alerts()}')
        finally:
            server.stop()


def journal(folder, server):
    """To the journal: one line of text, and the parts of an alert as fields. A socket stands in for journald."""
    run = os.path.join(folder, 'run')
    os.makedirs(os.path.join(run, 'systemd', 'journal'))
    taken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    taken.settimeout(PATIENCE_S)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    taken.bind(os.path.join(run, 'systemd', 'journal', 'socket'))
    log = open(os.path.join(folder, 'journal.log'), 'w', encoding='utf-8')
    status = os.fstat(log.fileno())
    snapshot = os.path.join(folder, 'store', '.incidents.json')
    if os.path.exists(snapshot):
        os.unlink(snapshot)
    command = (f'mount --bind {run} /run && exec {KOMAINU} guard --rules {RULES} --store {folder}/store --guarded '
               f'{folder}/journal.guarded --format none --pid {server.process.pid}')
    guard = subprocess.Popen(['unshare', '-m', 'sh', '-c', command], stderr=log,
                             env={**os.environ, 'JOURNAL_STREAM': f'{status.st_dev}:{status.st_ino}'})

    def entry_with(word):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            fields = dict(line.split('=', 1) for line in taken.recv(1 << 20).decode().splitlines() if '=' in line)
            if word in fields.get('MESSAGE', ''):
                return fields
        raise Failure(f'no entry with {word}')
    try:
        check(entry_with('guarded')['SYSLOG_IDENTIFIER'] == 'komainu-guard', 'identifier')
        server.ask('shell')
        fields = entry_with('ALERT ')
        check(fields['KOMAINU_KEY'] == 'exec /bin/sh' and fields['PRIORITY'] == '4', f'fields: {fields}')
        check(len(fields['MESSAGE_ID']) == 32 and float(fields['KOMAINU_CONFIDENCE']) > 0, f'fields: {fields}')
        check(json.loads(fields['KOMAINU_ALERT'])['incident']['id'] == fields['KOMAINU_INCIDENT'], 'the alert as JSON')
        guard.terminate()
        check(guard.wait(PATIENCE_S) == 0, 'exit status')
        check(os.path.getsize(log.name) == 0, 'something went past the journal')
    finally:
        guard.kill()
        guard.wait()
        taken.close()


def many_children(folder, server):
    guard = Guard(folder, 'children', '--budget', '100', '--host-budget', '100', pid=server.process.pid)
    guard.wait_said('guarded')
    server.ask('children')
    server.ask('page')
    server.ask('shell')
    guard.wait_for(lambda: any(has(a, 'exec /bin/sh') for a in guard.alerts()), 'alert after a thousand children')
    check(len(guard.alerts()) < 20, f'{len(guard.alerts())} alerts of a thousand like children')
    check(guard.stop() == 0, 'exit status')


def full_ring(folder, server):
    """The reader stands still while three million calls are streamed: what found no room is counted and said."""
    guard = Guard(folder, 'ring', '--learn', '1h', '--relearn', pid=server.process.pid)
    guard.wait_said('guarded')
    guard.process.send_signal(signal.SIGSTOP)
    server.ask('calls')
    guard.process.send_signal(signal.SIGCONT)
    check(guard.stop() == 0, 'exit status')
    check('events lost' in guard.log(), 'losses are not said: ' + guard.log())
    check(' 0 lost' not in guard.log() and 'nothing of it is kept' in guard.log(), 'summary: ' + guard.log())


def daemon_that_ends(folder, server):
    guard = Guard(folder, 'ends', pid=server.process.pid)
    guard.wait_said('guarded')
    server.ask('page')
    server.stop()
    guard.wait_said('stopped')
    check(guard.log().count('stopped') == 1, 'said more than once')
    check(guard.stop() == 0, 'exit status')


def full_disk(folder, server):
    disk = os.path.join(folder, 'disk')
    os.mkdir(disk)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', disk], check=False).returncode != 0:
        print('not checked: no file system can be mounted here')
        return
    alerts = os.path.join(disk, 'alerts.jsonl')
    guard = Guard(folder, 'full', '-o', 'jsonl=' + alerts, pid=server.process.pid)
    try:
        filler = os.path.join(disk, 'filler')
        guard.wait_said('guarded')
        subprocess.run(['dd', 'if=/dev/zero', 'of=' + filler, 'bs=4k', 'status=none'], stderr=subprocess.DEVNULL,
                       check=False)
        server.ask('shell')
        guard.wait_for(lambda: len(guard.alerts()) >= 1, 'alert in the other file')
        guard.wait_said('cannot be written')
        check(os.path.getsize(alerts) == 0, 'a part of a line is left')
        os.unlink(filler)
        server.ask('etc')
        guard.wait_said('is written again; it missed ')
        check(os.path.getsize(alerts) > 0, 'nothing is written again')
        check(guard.stop() == 0, 'exit status')
    finally:
        guard.process.kill()
        guard.process.wait()
        subprocess.run(['umount', disk], check=False)


def refused(folder):
    for command, word in ((['setpriv', '--reuid', '65534', '--clear-groups'], 'CAP_BPF'), ([], 'name what to guard')):
        options = ['--pid', '1', '--store', folder + '/nobody', '--guarded', folder + '/x'] if command else []
        done = subprocess.run(command + [KOMAINU, 'guard', '--no-use-rules'] + options, capture_output=True, text=True,
                              check=False, env={'HOME': folder, 'PATH': os.environ['PATH']})
        check(done.returncode == 1 and word in done.stderr and done.stderr.count('\n') == 1,
              f'{command}: {done.returncode} {done.stderr}')


def replayed(folder):
    """The recording gives the same alarms again."""
    command = [KOMAINU, 'replay', '--profile', os.path.join(folder, 'store'), '--alarms', '-f', 'json',
               os.path.join(folder, 'learn.kmt')]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=False).stdout for _ in range(2))
    check(first == second and '/etc/' in first, f'replay: {first[:500]}')


def valid(folder):
    try:
        import jsonschema
    except ImportError:
        print('jsonschema is not installed: the schema is not checked')
        return
    with open(SCHEMA, encoding='utf-8') as f:
        schema = json.load(f)
    for name in os.listdir(folder):
        if name.endswith('.jsonl'):
            with open(os.path.join(folder, name), encoding='utf-8') as f:
                for line in f:
                    jsonschema.validate(json.loads(line), schema)


def need_kernel():
    if os.geteuid() != 0:
        skip('needs root')
    if not os.path.exists('/sys/kernel/btf/vmlinux'):
        skip('the kernel has no BTF')


def main():
    need_kernel()
    folder = tempfile.mkdtemp(prefix='komainu-guard-')
    os.chmod(folder, 0o777)
    server = Server(folder)
    try:
        latency = quiet_then_misuse(folder, server)
        print(f'latency {latency:.2f} s')
        stored_profile(folder, server)
        remembered(folder, server)
        decided(folder, server)
        kept_back(folder, server)
        journal(folder, server)
        changed(folder)
        many_children(folder, server)
        full_disk(folder, server)
        full_ring(folder, server)
        daemon_that_ends(folder, server)
        refused(folder)
        replayed(folder)
        valid(folder)
    except Failure as failure:
        print('FAILED:', failure)
        return 1
    finally:
        for guard in guards:
            guard.process.kill()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print('passed')
    return 0


if __name__ == '__main__':
    sys.exit(main())
