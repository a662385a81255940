#!/usr/bin/env python3
"""What guarding costs nginx: pairs of runs without and with, back to back, medians of the ratios.

usage: bench_guard.py BENCH_GUARD [--pairs N] [--seconds S] [--only NAME,…]

nginx has one worker on the first CPU, wrk one thread and 16 connections on the second; 1 KiB file, access log on. Both
requests per second and the worker's CPU time per request are compared: the latter is steadier on a busy machine.
Prints `name value unit low high n`. A tool that is not there is said on standard error and left out.
"""
import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

PORT = 18980


def note(text):
    print(text, file=sys.stderr, flush=True)


class Nginx:
    def __init__(self, folder):
        os.makedirs(folder + '/html')
        os.chmod(folder, 0o755)
        with open(folder + '/html/index.html', 'w', encoding='ascii') as f:
            f.write('x' * 1023 + '\n')
        with open(folder + '/nginx.conf', 'w', encoding='ascii') as f:
            f.write(f'''worker_processes 1; worker_cpu_affinity 01; pid {folder}/pid; daemon off; error_log {folder}/error.log;
user root;
events {{ worker_connections 512; }}
http {{ access_log {folder}/access.log; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; sendfile on; keepalive_requests 1000000;
server {{ listen 127.0.0.1:{PORT}; root {folder}/html; }} }}
''')
        self.folder = folder
        self.start()

    def start(self):
        self.process = subprocess.Popen(['nginx', '-c', self.folder + '/nginx.conf', '-e', self.folder + '/error.log'])
        for _ in range(100):
            time.sleep(0.05)
            children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(self.process.pid)], capture_output=True,
                                      text=True, check=False).stdout.split()
            if children:
                self.worker = int(children[0])
                return
        sys.exit('bench_guard: nginx does not start: ' + open(self.folder + '/error.log', encoding='utf-8').read())

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def cpu_ticks(self):
        fields = open(f'/proc/{self.worker}/schedstat', encoding='ascii').read().split()
        return int(fields[0])

    def load(self, seconds):
        os.truncate(self.folder + '/access.log', 0)
        before = self.cpu_ticks()
        out = subprocess.run(['taskset', '-c', '1', 'wrk', '-t1', '-c16', f'-d{seconds}s',
                              f'http://127.0.0.1:{PORT}/index.html'], capture_output=True, text=True, check=True).stdout
        cpu = self.cpu_ticks() - before
        requests = int(re.search(r'(\d+) requests in', out)[1])
        rate = float(re.search(r'Requests/sec:\s+([\d.]+)', out)[1])
        return rate, cpu / requests


class Probe:
    """bench_guard holding a process."""

    def __init__(self, program, mode, pid):
        self.holder = subprocess.Popen(['taskset', '-c', '1', program, mode, str(pid)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline().strip() != 'ready':
            sys.exit('bench_guard: the probe does not start')

    def stop(self):
        self.holder.stdin.close()
        line = self.holder.stdout.read().strip()
        self.holder.wait()
        return line


class Command:
    """Another tool, stopped by SIGINT; undo runs afterwards."""

    def __init__(self, arguments, settle=1.0, undo=()):
        self.undo = undo
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(settle)
        self.ok = self.process.poll() is None

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for command in self.undo:
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return ''


class Audit:
    """auditd with a rule for files, connections and programs of one process."""

    def __init__(self, nginx, folder):
        conf = folder + '/auditd'
        os.makedirs(conf, mode=0o750, exist_ok=True)
        with open(conf + '/auditd.conf', 'w', encoding='ascii') as f:
            f.write(f'log_file = {folder}/audit.log\nlog_format = RAW\nflush = INCREMENTAL_ASYNC\nfreq = 50\n'
                    'max_log_file = 500\nnum_logs = 2\nmax_log_file_action = ROTATE\nspace_left = 75\n'
                    'admin_space_left = 50\nspace_left_action = IGNORE\nadmin_space_left_action = IGNORE\n'
                    'disk_full_action = IGNORE\ndisk_error_action = IGNORE\n')
        self.daemon = subprocess.Popen(['auditd', '-n', '-c', conf], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        time.sleep(1)
        self.ok = self.daemon.poll() is None
        self.rule = ['-F', 'arch=b64', '-S', 'openat', '-S', 'connect', '-S', 'execve', '-F', f'pid={nginx.worker}']
        run = subprocess.run(['auditctl', '-a', 'always,exit'] + self.rule, capture_output=True, check=False)
        self.ok = self.ok and run.returncode == 0

    def stop(self):
        subprocess.run(['auditctl', '-d', 'always,exit'] + self.rule, capture_output=True, check=False)
        self.daemon.terminate()
        self.daemon.wait()
        return ''


def variants(options, nginx, bystander, folder):
    """Name, tool that must be there, how to start it."""
    program = options.program
    worker = str(nginx.worker)
    yield 'filter', None, lambda: Probe(program, 'filter', nginx.worker)
    yield 'learn', None, lambda: Probe(program, 'learn', nginx.worker)
    yield 'beside', None, lambda: Probe(program, 'filter', bystander.pid)
    yield 'perf-trace', 'perf', lambda: Command(['perf', 'trace', '-o', '/dev/null', '-p', worker])
    yield 'strace', 'strace', lambda: Command(['strace', '-f', '-o', '/dev/null', '-p', worker])
    yield 'sysdig', 'sysdig', lambda: Command(['sysdig', '--modern-bpf', '-w', '/dev/null', f'proc.pid={worker}'], 4.0)
    yield 'auditd', 'auditd', lambda: Audit(nginx, folder)


def measure(nginx, start, pairs, seconds):
    """Ratios (rate, CPU per request) of `pairs` pairs; None when the tool does not stay."""
    rates, cpus, said = [], [], ''
    for i in range(pairs):
        results = {}
        for guarded in ((False, True) if i % 2 == 0 else (True, False)):
            tool = start() if guarded else None
            if tool and not getattr(tool, 'ok', True):
                tool.stop()
                return None
            if tool:
                nginx.load(1)  # the known set fills
            results[guarded] = nginx.load(seconds)
            if tool:
                said = tool.stop()
        rates.append(results[True][0] / results[False][0])
        cpus.append(results[True][1] / results[False][1])
        note(f'  pair {i}: {results[False][0]:.0f} → {results[True][0]:.0f} requests/s, {rates[-1]:.3f}; '
             f'CPU per request {cpus[-1]:.3f}; {said}')
    return rates, cpus


def show(name, values, unit):
    print(f'{name} {statistics.median(values):.3f} {unit} {min(values):.3f} {max(values):.3f} {len(values)}', flush=True)


def flood(program, rate):
    line = subprocess.run([program, 'flood', str(rate)], capture_output=True, text=True, check=True).stdout
    found = dict(zip(line.split()[1::2], line.split()[2::2]))
    calls, lost, seconds = int(found['calls']), int(found['lost']), float(found['seconds'])
    print(f'guard.flood.delivered {calls / seconds:.0f} events/s - - 1')
    print(f'guard.flood.lost {lost} events - - 1')
    print(f'guard.flood.reader {float(found["cpu"]) / calls * 1e9:.0f} ns/event - - 1', flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('program')
    parser.add_argument('--pairs', type=int, default=5)
    parser.add_argument('--seconds', type=int, default=4)
    parser.add_argument('--only')
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which('nginx') or not shutil.which('wrk') or os.cpu_count() < 2:
        note('bench_guard: skipped: needs root, nginx, wrk and two CPUs')
        return 77
    with tempfile.TemporaryDirectory(prefix='komainu-bench-') as folder:
        nginx = Nginx(folder)
        bystander = subprocess.Popen(['sleep', '100000'])
        try:
            for name, tool, start in variants(options, nginx, bystander, folder):
                if options.only and name not in options.only.split(','):
                    continue
                if tool and not shutil.which(tool):
                    note(f'{name}: {tool} is not installed, left out')
                    continue
                if name == 'auditd':  # audit sees only what was started after it was switched on
                    subprocess.run(['auditctl', '-e', '1'], capture_output=True, check=False)
                    nginx.stop()
                    nginx.start()
                note(name)
                result = measure(nginx, start, options.pairs if not tool else min(options.pairs, 3), options.seconds)
                if name == 'auditd':
                    subprocess.run(['auditctl', '-e', '0'], capture_output=True, check=False)
                if result is None:
                    note(f'{name}: does not run here, left out')
                    continue
                show(f'guard.{name}.requests', result[0], 'ratio')
                show(f'guard.{name}.cpu', result[1], 'ratio')
            if not options.only or 'flood' in options.only:
                flood(options.program, 150000)
        finally:
            nginx.stop()
            bystander.terminate()
            bystander.wait()
    return 0


sys.exit(main())
