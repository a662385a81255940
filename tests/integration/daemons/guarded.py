"""`komainu guard` on the stage's daemons: starts it, waits for what it says, finds alerts."""
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

import stage


class Guard:
    """guard with a store of its own; alerts as they come in `alerts`, what it says to people in `said`."""

    def __init__(self, komainu, units, learn=None, folder='/srv'):
        self.folder = tempfile.mkdtemp(prefix='komainu-guard-', dir=folder)
        self.jsonl = self.folder + '/alerts.jsonl'
        arguments = [komainu, 'guard', '--store', self.folder + '/store', '--format', 'none', '-o', 'jsonl=' + self.jsonl,
                     '--guarded', self.folder + '/guarded', '--budget', '1000', '--host-budget', '1000']
        for unit in units:
            arguments += [unit.option, unit.cgroup]
        if learn:
            arguments += ['--learn', learn]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.said = []
        self.alerts = []
        self.read = 0
        self.reader = threading.Thread(target=self.listen, daemon=True)
        self.reader.start()
        stage.until('guard guards', lambda: self.refused() or os.path.exists(self.folder + '/guarded'))

    def refused(self):
        if self.process.poll() is None:
            return False
        reason = ' '.join(self.said)
        if 'BPF' in reason or 'BTF' in reason or 'probe' in reason:
            stage.skip(reason)
        raise RuntimeError('guard ended: ' + reason)

    def listen(self):
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def poll(self):
        """Takes the whole lines that the file has gained; stamps each with the moment it was seen."""
        if os.path.exists(self.jsonl):
            with open(self.jsonl, encoding='utf-8') as f:
                f.seek(self.read)
                for line in iter(f.readline, ''):
                    if not line.endswith('\n'):
                        break
                    self.read += len(line.encode())
                    self.alerts.append((time.monotonic(), json.loads(line), line))
        return self.alerts

    def learned(self, unit):
        return any(unit.cgroup in line and ': learned from' in line for line in self.said)

    def wait_learned(self, units):
        for unit in units:
            stage.until(unit.name + ' is learned', lambda u=unit: self.refused() or self.learned(u))

    def wait_alert(self, since, unit, words):
        """The first alert about the unit after the `since`-th that has one of the words."""
        def found():
            for entry in self.poll()[since:]:
                if unit.cgroup in entry[2] and any(word in entry[2] for word in words):
                    return entry
            return None
        return stage.until(f'an alert about {unit.name} with one of {words}', lambda: self.refused() or found())

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(stage.PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(stage.PATIENCE)
        return self.process.returncode
