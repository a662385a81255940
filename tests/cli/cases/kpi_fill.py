"""Ten days of October 2024 in a store that komainu made: kpi_fill.py STORE."""
import datetime
import sqlite3
import sys

db = sqlite3.connect(sys.argv[1])
HOUR = 3600 * 10**9
DAY = 24 * HOUR
start = int(datetime.datetime(2024, 10, 1, tzinfo=datetime.timezone.utc).timestamp()) * 10**9
for run, kind in (1, 'guard'), (2, 'scan'):
    db.execute("INSERT INTO run(id, token, kind, host, who, began_ns, ended_ns, cpu_ms, memory_peak_bytes) VALUES(?, ?,"
               " ?, 'gate', 'kato', ?, ?, 432000, 40000000)", (run, str(run), kind, start, start + 5 * DAY))
for unit, until, mature in (('nginx.service', 10 * DAY, 1), ('sshd.service', 9 * DAY, 1)):
    db.execute("INSERT INTO watch(run_id, unit, role, from_ns, to_ns, mature, confidence, episodes, tapped) VALUES(1, ?,"
               " 'worker', ?, ?, ?, 1, 100, 1)", (unit, start, start + until, mature))
for i in range(50):
    db.execute("INSERT INTO target(run_id, seq, name, began_ns, ended_ns, bytes_total, bytes_examined, bytes_opaque,"
               " images) VALUES(2, ?, 'shop.tar', ?, ?, 1000, 990, 10, ?)",
               (i, start, start + HOUR, '[{"name":"shop:%d","digest":"sha256:%d"}]' % (i, i % 40)))
for n, (kind, decided, minutes) in enumerate([('daemon', 4, 3), ('daemon', 3, 4), ('daemon', 1, 2), ('file', 4, 9),
                                              ('file', 0, 2), ('daemon', None, 0)], 1):
    at = start + n * HOUR
    db.execute("INSERT INTO incident(id, key, kind, host, subject, image, dominant, first_ns, last_ns, count, verdict,"
               " score, confidence, shown, shown_ns, opened_ns, minutes, decision_kind, first_decided_ns, state) VALUES(?,"
               " ?, ?, 'gate', ?, ?, 'e', ?, ?, 1, 2, 0.8, 1, 1, ?, ?, ?, ?, ?, ?)",
               (n, str(n), kind, 'nginx.service' if kind == 'daemon' else 'opt/a', 'shop' if kind == 'file' else None,
                at - 10**9, at, at, at, minutes, decided, decided is not None and at + n * 60 * 10**9 or None,
                0 if decided is None else 4 if decided < 3 else 2))
    if decided is not None:
        db.execute("INSERT INTO decision(incident_id, kind, who, note, at_ns, guardian, host, unit, image) VALUES(?, ?,"
                   " 'kato', 'n', ?, 'guard', 'gate', ?, ?)",
                   (n, decided, at + n * 60 * 10**9, 'nginx.service' if kind == 'daemon' else None,
                    'shop' if kind == 'file' else None))
db.execute("INSERT INTO loss(run_id, at_ns, what, lost, seen) VALUES(1, ?, 'event', 4, 100000)", (start,))
for kind, name, days in (('model', 'shipped', 20), ('rules', 'sig"ma\x1b[1m', 45)):
    db.execute("INSERT INTO component(kind, name, version, made_ns, from_ns) VALUES(?, ?, '1.0', ?, ?)",
               (kind, name, start + 10 * DAY - days * DAY, start))
db.commit()
