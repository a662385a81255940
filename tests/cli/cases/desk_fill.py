"""Puts findings into a store that komainu made: desk_fill.py STORE. As a guardian's run would, hostile names included."""
import json
import sqlite3
import sys
import time

db = sqlite3.connect(sys.argv[1])
now = time.time_ns()
run = db.execute("INSERT INTO run(token, kind, host, who, began_ns, ended_ns, komainu) VALUES(?, 'scan', 'gate', 'kato',"
                 " ?, ?, '0.1.0')", (str(now), now, now)).lastrowid
target = db.execute("INSERT INTO target(run_id, seq, name, scheme, began_ns) VALUES(?, 1, 'shop:1', 'docker-archive', ?)",
                    (run, now)).lastrowid
rows = [
    # kind, image, path, sha256, unit, role, verdict, score, evidence
    ('file', 'shop:1', 'opt/vendor/agent', 'a' * 64, None, None, 3, 0.9, ('hash.listed', {'list': 'own', 'name': 'agent'})),
    ('file', 'till:4', 'srv/agent', 'a' * 64, None, None, 3, 0.9, ('hash.listed', {'list': 'own', 'name': 'agent'})),
    ('file', 'shop:1', 'tmp/\x1b[31mred\nline', 'b' * 64, None, None, 2, 0.6, ('place.temporary', {'place': 'tmp'})),
    ('daemon', None, None, None, 'nginx.service', 'worker', 2, 0.8, ('first.exec', {'what': '/bin/sh', 'episodes': 900})),
] + [('daemon', None, None, None, 'cron.service', 'main', 2, 0.5 + i / 100,
      ('first.open', {'what': f'/etc/secret{i}'})) for i in range(6)]
for seq, (kind, image, path, sha, unit, role, verdict, score, (evidence, args)) in enumerate(rows, 2):
    dominant = evidence if kind == 'file' else f"{evidence} {args['what']}"
    text = json.dumps([{'id': evidence, 'weight': 3.0, 'args': [[k, v] for k, v in args.items()]}])
    number = db.execute(
        'INSERT INTO finding(run_id, seq, target_id, at_ns, kind, image, path, sha256, unit, role, verdict, score,'
        ' confidence, evidence, dominant) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)',
        (run, seq, target, now - seq, kind, image, path, sha, unit, role, verdict, score, text, dominant)).lastrowid
    db.execute('INSERT INTO finding_words(rowid, image, path, unit, package, dominant, sha256, verdict) VALUES(?, ?, ?, ?, NULL,'
               ' ?, ?, ?)', (number, image, path, unit, dominant, sha, verdict))
db.commit()
