"""Ordinary load and ordinary variation for the daemons on the stage: paced, random with a seed, never the same twice.

A load runs in a thread until `stop` is set and does not mind a daemon that restarts. `variations(unit)` lists what an
administrator or a day brings, each a name and a function; `late(unit)` what no part of a recording that is learned
from has seen: rarer, as ordinary.
"""
import http.client
import os
import random
import socket
import subprocess
import threading
import time

import stage


class Load(threading.Thread):
    """per_second: requests on average; busy and quiet stretches alternate."""

    def __init__(self, unit, per_second, seed=1):
        super().__init__(daemon=True)
        self.unit, self.per_second = unit, per_second
        self.random = random.Random(seed)
        self.halt = threading.Event()
        self.paused = threading.Event()
        self.done = 0
        self.addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.7']

    def run(self):
        mood, left = 1.0, 0.0
        while not self.halt.is_set():
            wait = self.random.expovariate(self.per_second * mood)
            left -= wait
            if left <= 0:
                mood = self.random.choice([0.1, 0.4, 1.0, 1.0, 2.5])
                left = self.random.uniform(5, 40)
            self.halt.wait(min(wait, 5))
            if self.paused.is_set():
                continue
            try:
                self.one()
                self.done += 1
            except (OSError, http.client.HTTPException, subprocess.SubprocessError):
                self.drop()

    def one(self):
        raise NotImplementedError

    def drop(self):
        pass

    def finish(self):
        self.halt.set()
        self.join(stage.PATIENCE)
        self.drop()


class Web(Load):
    def __init__(self, unit, per_second, seed=1):
        super().__init__(unit, per_second, seed)
        self.connections = {}
        self.pages = ['/', '/index.html', '/large.html', '/missing.html'] + [f'/page-{i}.html' for i in range(8)]

    def drop(self):
        for connection in self.connections.values():
            connection.close()
        self.connections = {}

    def request(self, path, method='GET', headers=None, address='127.0.0.1'):
        connection = self.connections.pop(address, None)
        if connection is None:
            connection = http.client.HTTPConnection('127.0.0.1', 80, timeout=10, source_address=(address, 0))
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        if self.random.random() < 0.7:
            self.connections[address] = connection
        else:
            connection.close()
        return answer.status, body

    def one(self):
        path = self.random.choice(self.pages)
        kind = self.random.random()
        headers = {'User-Agent': self.random.choice(['Mozilla/5.0', 'curl/7.88', 'monitoring'])}
        if self.random.random() < 0.3:
            headers['Accept-Encoding'] = 'gzip'
        if kind < 0.05:
            self.request(path, 'HEAD', headers, self.random.choice(self.addresses))
        elif kind < 0.08:
            self.request(path, 'POST', headers, self.random.choice(self.addresses))
        elif kind < 0.15:
            headers['If-Modified-Since'] = 'Fri, 01 Jan 2100 00:00:00 GMT'
            self.request(path, 'GET', headers, self.random.choice(self.addresses))
        elif kind < 0.17:  # a visitor who goes away, and one who talks nonsense
            with socket.create_connection(('127.0.0.1', 80), 10) as s:
                s.sendall(self.random.choice([b'GET / HT', b'\x16\x03\x01\x00', b'GET /x HTTP/9.9\r\n\r\n']))
        else:
            self.request(path, 'GET', headers, self.random.choice(self.addresses))


class Sql(Load):
    """pgbench's own transactions at a rate, in runs with new connections; beside them an application's statements."""

    STATEMENTS = ['select count(*) from pgbench_accounts where abalance > 0', 'select now()',
                  'select sum(bbalance) from pgbench_branches',
                  'select b.bid, count(*) from pgbench_accounts a join pgbench_branches b using (bid) group by 1',
                  'create temp table t as select * from pgbench_tellers; select count(*) from t',
                  'select * from pgbench_accounts order by filler, abalance limit 5',
                  'select nonsense', 'insert into notes values (now(), repeat(\'n\', 100))',
                  'delete from notes where at < now() - interval \'5 minutes\'']

    def __init__(self, unit, per_second, seed=1):
        super().__init__(unit, per_second / 10, seed)
        self.bench = None
        self.rate = per_second

    def prepare(self):
        subprocess.run([stage.POSTGRES + '/pgbench', '-q', '-i', '-s', '1', '-h', '/run/postgresql', '-U', 'postgres',
                        'postgres'], check=True, capture_output=True, cwd='/')
        self.unit.sql('create table if not exists notes (at timestamptz, text text)')

    def one(self):
        if self.bench is None or self.bench.poll() is not None:
            over = self.random.choice([['-h', '/run/postgresql'], ['-h', '127.0.0.1']])
            mode = self.random.choice(['simple', 'prepared', 'extended'])
            self.bench = subprocess.Popen(
                [stage.POSTGRES + '/pgbench', '-n', '-M', mode, '-c', str(self.random.randint(1, 3)), '-R',
                 str(self.random.choice([0.5, 1, 1, 2.5]) * self.rate), '-T', str(self.random.randint(15, 90)), '-U',
                 'postgres', *over, 'postgres'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd='/')
        self.unit.sql(self.random.choice(self.STATEMENTS), check=False,
                      host=self.random.choice(['/run/postgresql', '127.0.0.1']))

    def drop(self):
        if self.bench and self.bench.poll() is None and self.halt.is_set():
            self.bench.terminate()
            self.bench.wait(stage.PATIENCE)


class Keys(Load):
    """A few long connections and some short ones."""

    def __init__(self, unit, per_second, seed=1):
        super().__init__(unit, per_second, seed)
        self.sockets = []

    def drop(self):
        for s in self.sockets:
            s.close()
        self.sockets = []

    def say(self, s, *words):
        s.sendall(b'*%d\r\n' % len(words) + b''.join(b'$%d\r\n%s\r\n' % (len(w), w) for w in
                                                     (str(w).encode() for w in words)))
        if not s.recv(65536):
            raise ConnectionError

    def open(self):
        return socket.create_connection(('127.0.0.1', 6379), 10, (self.random.choice(self.addresses), 0))

    def one(self):
        if len(self.sockets) < 3:
            self.sockets.append(self.open())
        s = self.random.choice(self.sockets)
        key = f'key:{self.random.randint(0, 500)}'
        commands = [('GET', key), ('GET', key), ('GET', key), ('SET', key, 'v' * self.random.randint(1, 2000)),
                    ('SET', key, 'v', 'EX', '20'), ('INCR', 'counter'), ('LPUSH', 'queue', key), ('RPOP', 'queue'),
                    ('HSET', 'hash', key, '1'), ('HGETALL', 'hash'), ('DEL', key), ('SCAN', '0'), ('INFO',),
                    ('ZADD', 'scores', '1', key), ('EXPIRE', key, '10'), ('NOSUCHCOMMAND',)]
        if self.random.random() < 0.1:
            with self.open() as short:
                self.say(short, 'PING')
                self.say(short, *self.random.choice(commands))
        else:
            self.say(s, *self.random.choice(commands))


def web_variations(web):
    unit = web.unit

    def new_page():
        name = f'news-{web.random.randint(1000, 9999)}.html'
        unit.page(name, web.random.randint(100, 9000))
        web.pages.append('/' + name)

    def new_folder():
        name = f'album-{web.random.randint(1000, 9999)}'
        unit.page(name + '/index.html', 700)
        web.pages += [f'/{name}/', f'/{name}']

    def burst():
        for _ in range(80):
            web.one()

    return [('reload', unit.reload), ('rotate', unit.rotate), ('restart', unit.restart), ('new page', new_page),
            ('new folder', new_folder), ('new client', lambda: new_address(web)), ('burst', burst),
            ('idle', lambda: idle(web))]


def new_address(load):
    load.addresses.append(f'127.0.{load.random.randint(1, 250)}.{load.random.randint(1, 250)}')


def idle(load):
    load.paused.set()
    load.halt.wait(load.random.uniform(15, 45))
    load.paused.clear()


def sql_variations(sql):
    unit = sql.unit

    def resize():
        unit.configure(sql.random.choice(['1MB', '2MB', '4MB', '8MB']))
        unit.reload()

    def dump():
        subprocess.run([stage.POSTGRES + '/pg_dump', '-h', '/run/postgresql', '-U', 'postgres', '-t', 'notes',
                        'postgres'], check=False, capture_output=True, cwd='/')

    return [('vacuum', lambda: unit.sql('vacuum analyze pgbench_accounts')), ('checkpoint', lambda: unit.sql('checkpoint')),
            ('analyze', lambda: unit.sql('analyze')), ('reload', resize),
            ('rotate', lambda: unit.sql('select pg_rotate_logfile()')), ('restart', unit.restart), ('dump', dump),
            ('index', lambda: unit.sql('drop index if exists i; create index i on pgbench_accounts (abalance)')),
            ('table', lambda: unit.sql('drop table if exists n; create table n as select * from pgbench_tellers')),
            ('cancel', lambda: unit.sql("set statement_timeout = 50; select pg_sleep(1)", check=False)),
            ('new client', lambda: unit.sql('select 1', host='127.0.0.1')), ('idle', lambda: idle(sql))]


def redis_variations(keys):
    unit = keys.unit

    def benchmark():
        subprocess.run(['redis-benchmark', '-q', '-n', '300', '-c', '5', '-t', 'set,get,lpush'], check=False,
                       capture_output=True)

    def rotate():
        if os.path.exists('/var/log/redis/redis.log'):
            os.replace('/var/log/redis/redis.log', '/var/log/redis/redis.log.1')

    return [('bgsave', lambda: unit.ask('BGSAVE')), ('rewrite', lambda: unit.ask('BGREWRITEAOF')), ('rotate', rotate),
            ('memory limit', lambda: unit.ask('CONFIG', 'SET', 'maxmemory', f'{keys.random.randint(20, 90)}mb')),
            ('config rewrite', lambda: unit.ask('CONFIG', 'REWRITE')), ('restart', unit.restart),
            ('new client', lambda: new_address(keys)), ('benchmark', benchmark), ('save', lambda: unit.ask('SAVE')),
            ('idle', lambda: idle(keys))]


def variations(load):
    return {Web: web_variations, Sql: sql_variations, Keys: redis_variations}[type(load)](load)


def late(load):
    """Ordinary, and not in the part that is learned from."""
    unit = load.unit
    if isinstance(load, Web):
        def ranged():
            load.request('/large.html', 'GET', {'Range': 'bytes=1000-2000'})

        def site():
            unit.page('../shop/index.html', 900)
            unit.extra = 'location /shop { root /var/www; }'
            unit.configure()
            unit.reload()
            load.pages.append('/shop/index.html')
        return [('range request', ranged), ('new site', site)]
    if isinstance(load, Sql):
        return [('reindex', lambda: unit.sql('reindex table pgbench_accounts')),
                ('new database', lambda: unit.sql('create database shop'))]
    return [('lua script', lambda: unit.ask('EVAL', 'return redis.call("GET", KEYS[1])', '1', 'key:1')),
            ('flush', lambda: unit.ask('FLUSHDB', 'ASYNC'))]


LOADS = {stage.Nginx: (Web, 4.0), stage.Postgresql: (Sql, 1.0), stage.Redis: (Keys, 7.0)}


def make(unit, seed, factor=1.0):
    """The load of a unit that runs; not started."""
    kind, rate = LOADS[type(unit)]
    load = kind(unit, rate * factor, seed)
    if isinstance(load, Sql):
        load.prepare()
    return load


def attempt(load, act):
    """A variation; a client that meets a daemon which restarts fails, as clients do. Returns what failed."""
    try:
        act()
    except (OSError, RuntimeError, TimeoutError, http.client.HTTPException) as error:
        load.drop()
        return type(error).__name__
    return None


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
