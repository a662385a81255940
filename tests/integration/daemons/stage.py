"""A stage for real daemons: namespaces of their own, and nginx, PostgreSQL and Redis on it as Debian lays them out.

`enter()` starts this program again in private mount and network namespaces. There, empty memory file systems lie over
the places that the daemons use (/etc/nginx, /var/lib/postgresql, /var/log, /run, /etc/cron.d …), and loopback is the
only network: standard ports, nothing of the machine's own is touched, and all of it is gone with the last process.
Each daemon runs in a cgroup of its own, as a systemd unit does; the cgroups are below STAGE and removed by `close()`.
"""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time

PLACES = ['/run', '/var/log', '/var/www', '/srv', '/etc/nginx', '/etc/redis', '/etc/postgresql', '/etc/cron.d',
          '/var/lib/nginx', '/var/lib/postgresql', '/var/lib/redis']
POSTGRES = (sorted(glob.glob('/usr/lib/postgresql/*/bin')) or ['/usr/lib/postgresql/15/bin'])[-1]
NEEDED = ['nginx', 'redis-server', 'redis-cli', 'redis-benchmark', 'unshare', 'mount', 'ip', POSTGRES + '/postgres',
          'psql', 'pgbench']
LAUNCHER = os.path.basename(sys.executable)[:6]  # what a process is in its unit for a moment, before it is the daemon
PATIENCE = 60  # seconds until something that must come is given up


def skip(reason):
    print('skipped: ' + reason)
    sys.exit(77)


def cgroup_root():
    for root in ('/sys/fs/cgroup', '/sys/fs/cgroup/unified'):
        if os.path.exists(root + '/cgroup.procs') and os.access(root, os.W_OK):
            return root
    return None


def enter(needed=NEEDED):
    """Goes on in namespaces of its own; a skip says what is missing."""
    if os.environ.get('KOMAINU_STAGE') == 'inside':
        build_stage()
        return
    if os.geteuid() != 0:
        skip('needs root')
    for tool in needed:
        if not shutil.which(tool):
            skip(tool + ' is not installed')
    if cgroup_root() is None:
        skip('no writable cgroup v2 hierarchy')
    if subprocess.run(['unshare', '--mount', '--net', 'true'], check=False, capture_output=True).returncode != 0:
        skip('no mount and network namespaces here')
    os.environ['KOMAINU_STAGE'] = 'inside'
    os.execvp('unshare', ['unshare', '--mount', '--net', '--propagation', 'private', sys.executable] + sys.argv)


def build_stage():
    """Empty places; again for the next scene."""
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    for place in PLACES:
        if os.path.isdir(place):
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'komainu', place], check=True)
    write('/etc/nginx/mime.types', 'types { text/html html; text/plain txt; image/png png; }\n')


def until(what, condition, patience=PATIENCE):
    """Waits for an event, not for a time: only what never comes runs out of patience, which is in seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError('never came: ' + what)


def write(path, text, mode=0o644, owner=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path, mode)
    if owner:
        user = pwd.getpwnam(owner)
        os.chown(path, user.pw_uid, user.pw_gid)


def make_dir(path, owner='root', mode=0o755):
    os.makedirs(path, exist_ok=True)
    user = pwd.getpwnam(owner)
    os.chown(path, user.pw_uid, user.pw_gid)
    os.chmod(path, mode)


class Unit:
    """One daemon in its cgroup. `name` is what it is called; stop() removes the cgroup, as systemd does."""

    name = ''
    user = 'root'
    option = '--cgroup'  # how guard is told

    def __init__(self, parent):
        self.cgroup = parent + '/stage-' + self.name  # below the root; no other machine's unit is called so
        self.folder = cgroup_root() + self.cgroup
        self.process = None

    def run(self, command, user=None, **keywords):
        """Starts a command in the unit's cgroup, as its user."""
        os.makedirs(self.folder, exist_ok=True)
        account = pwd.getpwnam(user or self.user)
        procs = self.folder + '/cgroup.procs'

        def inside():
            with open(procs, 'w', encoding='ascii') as f:
                f.write('0')
            os.setsid()
            if account.pw_uid != 0:
                os.initgroups(account.pw_name, account.pw_gid)
                os.setgid(account.pw_gid)
                os.setuid(account.pw_uid)
        quiet = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
        quiet.update(keywords)
        return subprocess.Popen(command, preexec_fn=inside, cwd='/', env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin',
                                                                          'LANG': 'C.UTF-8'}, **quiet)

    def control(self, command, user=None):
        return self.run(command, user).wait(PATIENCE)

    def pids(self):
        try:
            with open(self.folder + '/cgroup.procs', encoding='ascii') as f:
                return [int(line) for line in f]
        except FileNotFoundError:
            return []

    def signal(self, number):
        os.kill(self.main_pid(), number)

    def main_pid(self):
        return self.process.pid

    def begin(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def start(self):
        self.begin()
        until(self.name + ' is ready', self.ready)

    def stop(self):
        pids = self.pids()
        if pids:
            try:
                self.signal(signal.SIGTERM if self.name != 'nginx.service' else signal.SIGQUIT)
            except (ProcessLookupError, FileNotFoundError, ValueError, AttributeError):
                pass
        end = time.monotonic() + 20
        while self.pids() and time.monotonic() < end:
            if self.process:
                self.process.poll()
            time.sleep(0.05)
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.wait(PATIENCE)
            self.process = None
        if os.path.isdir(self.folder):
            until(self.name + ' is gone', lambda: not self.pids())
            os.rmdir(self.folder)

    def restart(self):
        self.stop()
        self.start()


class Nginx(Unit):
    """The master as root, two workers as www-data, access log, port 80; started and reloaded as by Debian's unit."""

    name = 'nginx.service'
    program = '/usr/sbin/nginx'

    def __init__(self, parent):
        super().__init__(parent)
        self.extra = ''
        self.main = ''
        self.configure()
        make_dir('/var/www/html')
        make_dir('/var/log/nginx', 'www-data')
        make_dir('/var/lib/nginx', 'www-data')
        self.page('index.html', 4000)
        self.page('large.html', 150000)
        for i in range(8):
            self.page(f'page-{i}.html', 300 + 700 * i)

    def page(self, name, length):
        write('/var/www/html/' + name, '<html>' + 'x' * length + '</html>\n')

    def configure(self):
        write('/etc/nginx/nginx.conf', f'''{self.main}
user www-data; worker_processes 2; pid /run/nginx.pid; error_log /var/log/nginx/error.log;
events {{ worker_connections 256; }}
http {{ include /etc/nginx/mime.types; sendfile on; keepalive_timeout 20; access_log /var/log/nginx/access.log; gzip on;
server {{ listen 80; root /var/www/html; index index.html; location / {{ try_files $uri $uri/ =404; }}
{self.extra} }} }}
''')

    def begin(self):
        self.control([self.program, '-t', '-q', '-g', 'daemon on; master_process on;'])
        if self.control([self.program, '-g', 'daemon on; master_process on;']) != 0:
            raise RuntimeError('nginx does not start')

    def main_pid(self):
        with open('/run/nginx.pid', encoding='ascii') as f:
            return int(f.read())

    def ready(self):
        return os.path.exists('/run/nginx.pid') and len(self.pids()) >= 3

    def reload(self):
        return self.control([self.program, '-g', 'daemon on; master_process on;', '-s', 'reload'])

    def rotate(self):
        for log in ('access', 'error'):
            os.replace(f'/var/log/nginx/{log}.log', f'/var/log/nginx/{log}.log.1')
        self.signal(signal.SIGUSR1)


class Postgresql(Unit):
    """A cluster of its own, with a logging collector, an archive command and autovacuum; unix socket and loopback."""

    name = 'postgresql.service'
    user = 'postgres'
    program = POSTGRES + '/postgres'
    data = '/var/lib/postgresql/main'
    conf = '/etc/postgresql/postgresql.conf'

    def __init__(self, parent):
        super().__init__(parent)
        for place in ('/var/lib/postgresql', '/run/postgresql', '/etc/postgresql', '/var/log/postgresql'):
            make_dir(place, 'postgres')
        subprocess.run(['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', POSTGRES + '/initdb', '-D',
                        self.data, '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'],
                       check=True, stdout=subprocess.DEVNULL, cwd='/')
        self.configure('4MB')

    def configure(self, work_mem):
        write(self.conf, f'''data_directory = '{self.data}'
hba_file = '{self.data}/pg_hba.conf'
ident_file = '{self.data}/pg_ident.conf'
listen_addresses = '127.0.0.1'
unix_socket_directories = '/run/postgresql'
shared_buffers = 32MB
max_connections = 40
logging_collector = on
log_directory = '/var/log/postgresql'
log_filename = 'postgresql.log'
log_checkpoints = on
work_mem = {work_mem}
max_wal_size = 64MB
autovacuum_naptime = 30s
''', owner='postgres')

    def begin(self):
        self.process = self.run([self.program, '-D', self.data, '-c', 'config_file=' + self.conf])

    def ready(self):
        return subprocess.run([POSTGRES + '/pg_isready', '-q', '-h', '/run/postgresql'], check=False).returncode == 0

    def stop(self):
        if self.pids() and self.process:
            os.kill(self.process.pid, signal.SIGINT)  # "fast", as the unit does
            self.process.wait(PATIENCE)
        super().stop()

    def reload(self):
        self.signal(signal.SIGHUP)

    def sql(self, text, database='postgres', host='/run/postgresql', check=True):
        run = subprocess.run(['psql', '-XqAt', '-U', 'postgres', '-h', host, '-d', database, '-c', text], cwd='/',
                             check=False, capture_output=True, text=True)
        if check and run.returncode != 0:
            raise RuntimeError(run.stderr)
        return run.stdout + run.stderr


class Redis(Unit):
    """Append-only file and snapshots; `enable-protected-configs yes` and `enable-module-command yes`, which a careful
    installation does not have: without them Redis itself refuses what the misuses do."""

    name = 'redis.service'
    user = 'redis'
    program = '/usr/bin/redis-server'

    def __init__(self, parent):
        super().__init__(parent)
        for place in ('/var/lib/redis', '/var/log/redis', '/etc/redis', '/run/redis', '/etc/cron.d'):
            make_dir(place, 'redis')
        write('/etc/redis/redis.conf', '''bind 127.0.0.1
port 6379
daemonize no
pidfile /run/redis/redis.pid
logfile /var/log/redis/redis.log
dir /var/lib/redis
appendonly yes
save 60 500
enable-protected-configs yes
enable-module-command yes
''', owner='redis')

    def begin(self):
        self.process = self.run([self.program, '/etc/redis/redis.conf'])

    def ready(self):
        return self.ask('PING') == 'PONG'

    def ask(self, *words):
        run = subprocess.run(['redis-cli', *words], check=False, capture_output=True, text=True)
        return run.stdout.strip()


class Stage:
    """All daemons, and the cgroups they run in."""

    def __init__(self, kinds=(Nginx, Postgresql, Redis)):
        self.parent = f'/komainu-stage-{os.getpid()}'
        os.mkdir(cgroup_root() + self.parent)
        self.units = []
        for kind in kinds:
            self.units.append(kind(self.parent))

    def unit(self, kind):
        return next(u for u in self.units if isinstance(u, kind))

    def start(self):
        for unit in self.units:
            unit.start()

    def close(self):
        for unit in self.units:
            unit.stop()
        os.rmdir(cgroup_root() + self.parent)
