#!/usr/bin/env python3
"""A running guard and its stores, on the running kernel: what it reports to the desk, a full disk of the desk, decisions
that teach nothing, the setuid rule, a profile of an earlier file version.

usage: guard_store.py KOMAINU SCHEMA RULES     (as guard_live.py, whose server and guard it uses)
"""
import contextlib
import glob
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

import guard_live
from guard_live import Guard, Server, check, desk, has, learn

BUDGET = ['--budget', '1000', '--host-budget', '1000']


def rows(path, query):
    with contextlib.closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True)) as store:
        return store.execute(query).fetchall()


def reports(folder, server):
    """Watched time, health, losses and the rules of a run are in the store when it ends."""
    path = os.path.join(folder, 'reports.db')
    guard = Guard(folder, 'reports', '--desk', path, '--learn', '1h', '--relearn', pid=server.process.pid)
    guard.wait_said('guarded')
    guard.process.send_signal(signal.SIGSTOP)
    server.ask('calls')
    guard.process.send_signal(signal.SIGCONT)
    check(guard.stop() == 0, 'exit status')
    watched = rows(path, 'SELECT unit, to_ns-from_ns, mature, confidence FROM watch')
    check(len(watched) == 1 and watched[0][0].startswith('python3') and watched[0][1] > 0, f'watch: {watched}')
    health = dict(rows(path, 'SELECT name, value FROM health'))
    check(health.get('cpu_seconds', 0) > 0 and health.get('resident_peak_kib', 0) > 0, f'health: {health}')
    losses = rows(path, "SELECT unit, lost, seen FROM loss WHERE what='event'")
    check(len(losses) == 1 and losses[0][1] > 0 and losses[0][2] >= losses[0][1], f'loss: {losses}')
    rules = rows(path, "SELECT name, length(digest), made_ns>0 FROM component WHERE kind='rules' AND to_ns IS NULL")
    check(rules == [('daemon', 64, 1)], f'rules in force: {rules}')
    check(f'{losses[0][1]} lost' in guard.log(), f'another number of losses: {losses} {guard.log()}')


def full_disk(folder, server):
    """The desk's disk is full: said once, findings wait, and all are there when it has room again."""
    disk = os.path.join(folder, 'desk-disk')
    os.mkdir(disk)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk], check=False).returncode != 0:
        print('not checked: no file system can be mounted here')
        return
    path, filler = os.path.join(disk, 'desk.db'), os.path.join(disk, 'filler')
    guard = Guard(folder, 'deskfull', '--desk', path, *BUDGET, pid=server.process.pid)
    try:
        guard.wait_said('guarded')
        subprocess.run(['dd', 'if=/dev/zero', 'of=' + filler, 'bs=4k', 'status=none'], stderr=subprocess.DEVNULL,
                       check=False)
        check(os.statvfs(disk).f_bavail == 0, 'the disk has room')
        server.ask('shell')
        guard.wait_for(lambda: any(has(a, 'exec /bin/sh') for a in guard.alerts()), 'alert while the disk is full')
        guard.wait_said('cannot record')
        server.ask('etc')
        guard.wait_for(lambda: any(has(a, 'open read /etc/group') for a in guard.alerts()), 'second alert')
        check(guard.log().count('cannot record') == 1, 'said more than once: ' + guard.log())
        check(rows(path, 'SELECT count(*) FROM finding') == [(0,)], 'something was written')
        os.unlink(filler)
        guard.wait_said('recording again')
        told = len(guard.alerts())
        guard.wait_for(lambda: rows(path, 'SELECT count(*) FROM finding')[0][0] >= told, 'findings that waited')
        check(guard.stop() == 0, 'exit status')
    finally:
        guard.process.kill()
        guard.process.wait()
        subprocess.run(['umount', disk], check=False)


def profile_state(folder):
    """Versions of all profiles, and what they accepted."""
    found = glob.glob(os.path.join(folder, 'store', '**', '*.kmp'), recursive=True)
    found += glob.glob(os.path.join(folder, 'store', '**', 'accepted', '*'), recursive=True)
    return {path: os.stat(path).st_mtime_ns for path in found}


def taught_nothing(folder, server):
    """Suspicious, attack and benign-once change no profile; what was an attack is told again."""
    path = os.path.join(folder, 'desk.db')
    before = profile_state(folder)
    check(before, 'no profile')
    guard = Guard(folder, 'decided', '--desk', path, *BUDGET, pid=server.process.pid)
    guard.wait_said('guarded')
    for word, key, decision in (('shell', 'exec /bin/sh', 'attack'), ('etc', 'open read /etc/group', 'suspicious')):
        def told(key=key):
            return [a for a in guard.alerts() if has(a, key)]
        server.ask(word)
        guard.wait_for(told, f'alert about {key}')
        guard.wait_for(lambda key=key: guard_live.incidents(folder, key), f'incident of {key}')
        number = guard_live.incidents(folder, key)[-1]
        desk(folder, 'alerts', 'decide', number, decision, '--note', 'looked into')
        guard.wait_for(lambda number=number: '"applied_at": null' not in desk(folder, 'alerts', 'show', number, '-f',
                                                                               'json'), 'acknowledgement')
    server.ask('name')
    guard.wait_for(lambda: any('/bin/true' in a['incident']['key'] for a in guard.alerts()), 'the act between')
    check(guard.stop() == 0, 'exit status')
    check(profile_state(folder) == before, 'a profile changed')
    check('is applied' not in guard.log() or 'profile.accept' not in desk(folder, 'audit', 'list'), 'it was learned')
    again = Guard(folder, 'again', *BUDGET, pid=server.process.pid)
    again.wait_said('guarded')
    server.ask('shell')
    again.wait_for(lambda: any(has(a, 'exec /bin/sh') for a in again.alerts()), 'the attack again')
    check(again.stop() == 0, 'exit status')


def setuid_rule(folder, server):
    guard = Guard(folder, 'setuid', *BUDGET, pid=server.process.pid)
    guard.wait_said('guarded')
    server.ask('setuid')

    def told():
        return [a for a in guard.alerts() if a['incident']['key'].startswith('setuid-bit ')]
    guard.wait_for(told, 'alert about the setuid bit')
    evidence = {e['id']: e for e in told()[0]['evidence']}
    check('rule.matched' in evidence and 'Run as Another User' in str(evidence['rule.matched']), f'rule: {told()}')
    check(guard.stop() == 0, 'exit status')


def earlier_version(folder, server):
    """A profile of an earlier program is named, and the daemon is learned anew when that is allowed."""
    for path in glob.glob(os.path.join(folder, 'store', '**', '*.kmp'), recursive=True):
        os.chmod(path, 0o600)
        with open(path, 'r+b') as f:
            f.seek(8)
            f.write(bytes([3]))
    guard = Guard(folder, 'earlier', pid=server.process.pid)
    guard.wait_said('guarded')
    server.ask('page')
    guard.wait_said('is of version 3 and this program reads version 4: learn the daemon again')
    guard.wait_said('nothing is known of it; learn it with --learn')
    check(guard.stop() == 0, 'exit status')
    anew, _ = learn(folder, server)
    check(anew.stop() == 0, 'exit status')


def main():
    guard_live.need_kernel()
    folder = tempfile.mkdtemp(prefix='komainu-store-')
    os.chmod(folder, 0o777)
    server = Server(folder)
    try:
        guard, _ = learn(folder, server)
        check(guard.stop() == 0, 'exit status')
        os.unlink(os.path.join(folder, 'learn.kmt'))
        for one in (reports, full_disk, taught_nothing, setuid_rule, earlier_version):
            one(folder, server)
            print('ok', one.__name__, flush=True)
    except guard_live.Failure as failure:
        print('FAILED:', failure)
        return 1
    finally:
        for guard in guard_live.guards:
            guard.process.kill()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


sys.exit(main())
