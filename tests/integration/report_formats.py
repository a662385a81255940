#!/usr/bin/env python3
"""usage: report_formats.py KOMAINU

Scans a small container made with odd names and checks what comes out in the formats of other tools: SARIF with
Microsoft's own validator (npm), STIX against the rules of its specification, JUnit and ECS by reading them.
"""
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
import xml.etree.ElementTree as ElementTree

EICAR = b'X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'
OBSERVABLES = uuid.UUID('00abedb4-aa42-466c-9c01-fed23315a9b7')
passed = failed = skipped = 0


def check(name, truth, detail=''):
    global passed, failed
    if truth:
        passed += 1
        print(f'ok - {name}')
    else:
        failed += 1
        print(f'not ok - {name} {detail}')


def skip(name, why):
    global skipped
    skipped += 1
    print(f'ok - {name} # SKIP {why}')


def make_container(path):
    files = {'usr/bin/te<s>t &1': (0o755, EICAR), 'usr/bin/\x1b[31mred': (0o755, EICAR),
             'usr/bin/\u65e5\u672c': (0o755, EICAR), 'usr/bin/copy': (0o755, EICAR), 'etc/plain': (0o644, b'text\n')}
    with tarfile.open(path, 'w', format=tarfile.PAX_FORMAT) as tar:
        for name, (mode, content) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))


MEGABYTE = 1 << 20
# Control characters, invalid UTF-8, noncharacters, what reorders text, markup of each format, a formula, a long name.
HOSTILE = [b'\x01\x02\x7f\x1b]0;title\x07', b'\xff\xfe\xc3(\xed\xa0\x80', b'\xef\xbf\xbe\xef\xbf\xbf',
           b'\xe2\x80\xae\xe2\x80\xa8gnp', b']]>--><![CDATA[', b"' OR file:name = 'x", b'=cmd()|"\\', b'%00%n{0}{name}',
           b'a\nb\r\tc', b'\xf0\x9f\xa6\x81', b'x' * 250 + b'/' + b'\xff' * 250 + b'/' + b'\x1b' * 3000]


def make_hostile(path):
    """An image whose paths and history are hostile; one step of a megabyte, one path of a megabyte."""
    def add(tar, name, content):
        info = tarfile.TarInfo(name.decode('utf-8', 'surrogateescape'))
        info.size, info.mode = len(content), 0o755
        tar.addfile(info, io.BytesIO(content))

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode='w', format=tarfile.GNU_FORMAT, encoding='utf-8', errors='surrogateescape') as tar:
        for name in [b'usr/bin/' + h for h in HOSTILE] + [b'usr/' + b'y/' * (MEGABYTE // 2) + b'z']:
            add(tar, name, EICAR)
    blob = layer.getvalue()
    created = ''.join(map(chr, range(1, 32))) + '\u202e</script>]]>\ufffe' + 'RUN \u20ac' * (MEGABYTE // 7)
    config = json.dumps({'architecture': 'amd64', 'os': 'li\x1bnux', 'history': [{'created_by': created}],
                         'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + hashlib.sha256(blob).hexdigest()]}}).encode()
    name = hashlib.sha256(config).hexdigest() + '.json'
    manifest = json.dumps([{'Config': name, 'RepoTags': ['sh\x1b[1mop:\u202e1"<&>'], 'Layers': ['l/layer.tar']}]).encode()
    with tarfile.open(path, 'w') as tar:
        for entry, content in ((name, config), ('l/layer.tar', blob), ('manifest.json', manifest)):
            add(tar, entry.encode(), content)


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield k
            yield from strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)


def is_harmless(text):
    """Nothing that controls a terminal, reorders text, or is no character of XML."""
    return not any(ord(c) < 32 and c not in '\t\n' or ord(c) == 127 or 0x202a <= ord(c) <= 0x202e or
                   0xd800 <= ord(c) <= 0xdfff or ord(c) & 0xfffe == 0xfffe for c in text)


def check_hostile(komainu, folder):
    make_hostile(f'{folder}/hostile.tar')
    kinds = ('sarif', 'stix', 'junit', 'ecs', 'json')
    outputs = [f'--output={kind}=hostile.{kind}.out' for kind in kinds]
    done = subprocess.run([komainu, 'scan', '--no-record', '--all', *outputs, 'hostile.tar'], cwd=folder, capture_output=True,
                          check=False)
    check('hostile: the scan finds', done.returncode == 2, done.stderr[-300:])
    check('hostile: the text is harmless', is_harmless(done.stdout.decode()))
    documents = {kind: open(f'{folder}/hostile.{kind}.out', 'rb').read() for kind in kinds}
    for kind, text in documents.items():
        try:
            if kind == 'junit':
                tree = ElementTree.fromstring(text)
                found = [t for e in tree.iter() for t in (e.text, e.tail, *e.attrib.values()) if t]
                count = sum(c.find('failure') is not None and c.get('name') != 'coverage' for c in tree.iter('testcase'))
            else:
                values = [json.loads(line) for line in text.decode().splitlines()] if kind == 'ecs' else [json.loads(text)]
                found = list(strings(values))
                count = {'sarif': lambda: len(values[0]['runs'][0]['results']),
                         'stix': lambda: sum(o['type'] == 'sighting' for o in values[0]['objects']),
                         'ecs': lambda: sum(v['event']['kind'] == 'alert' for v in values),
                         'json': lambda: sum(f['verdict'] == 'malicious' for f in values[0]['findings'])}[kind]()
        except (ValueError, ElementTree.ParseError) as error:
            check(f'hostile: {kind} can be read', False, error)
            continue
        check(f'hostile: {kind} can be read', True)
        bad = [t for t in found if not is_harmless(t)]
        check(f'hostile: {kind} is harmless', not bad, ascii(bad[:2])[:300])
        check(f'hostile: {kind} has every finding', count == documents_count(documents), count)
        check(f'hostile: {kind} does not grow with one text', len(text) < 8 * MEGABYTE, len(text))
    validate_sarif(folder, ('hostile.sarif.out',))
    check_stix_ids(json.loads(documents['stix'])['objects'])


def documents_count(documents):
    return sum(f['verdict'] == 'malicious' for f in json.loads(documents['json'])['findings'])


def scan(komainu, folder):
    outputs = [f'--output={kind}={kind}.out' for kind in ('sarif', 'stix', 'junit', 'ecs')]
    done = subprocess.run([komainu, 'scan', '--no-record', 'box.tar', *outputs], cwd=folder, capture_output=True, text=True, check=False)
    check('scan finds the test files', done.returncode == 2, done.stderr)
    # A target that cannot be opened is in every report, too.
    bad = [f'--output={kind}=bad.{kind}.out' for kind in ('sarif', 'stix', 'junit', 'ecs')]
    done = subprocess.run([komainu, 'scan', '--no-record', 'missing.tar', *bad], cwd=folder, capture_output=True, text=True, check=False)
    check('scan of a missing target fails', done.returncode == 1, done.stderr)


def check_sarif(folder):
    with open(f'{folder}/sarif.out', encoding='utf-8') as f:
        sarif = json.load(f)
    results = sarif['runs'][0]['results']
    uris = [r['locations'][0]['physicalLocation']['artifactLocation']['uri'] for r in results]
    check('sarif: a result for each file', len(results) == 4, uris)
    check('sarif: paths are URIs', 'usr/bin/te%3Cs%3Et%20%261' in uris and 'usr/bin/%1B%5B31mred' in uris, uris)
    prints = {r['partialFingerprints']['komainuFinding/v1'] for r in results}
    check('sarif: fingerprints tell findings apart', len(prints) == 4)
    check('sarif: no control characters', all('\x1b' not in r['message']['text'] for r in results))
    with open(f'{folder}/bad.sarif.out', encoding='utf-8') as f:
        bad = json.load(f)['runs'][0]['invocations'][0]
    check('sarif: a failed target says so',
          bad['executionSuccessful'] is False and bad['toolExecutionNotifications'][0]['level'] == 'error')
    validate_sarif(folder)


def validate_sarif(folder, names=('sarif.out', 'bad.sarif.out')):
    """The validator comes from the npm registry, once; where that is not reached, the skip is counted."""
    if not shutil.which('npm'):
        skip('sarif: valid to sarif-multitool', 'npm is not installed')
        return
    cache = os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'komainu-tests')
    tool = f'{cache}/package/Sarif.Multitool'
    if not os.path.exists(tool):
        os.makedirs(cache, exist_ok=True)
        got = subprocess.run(['npm', 'pack', '--silent', '@microsoft/sarif-multitool-linux@5.7.0'], cwd=cache,
                             capture_output=True, text=True, timeout=300, check=False)
        if got.returncode != 0:
            skip('sarif: valid to sarif-multitool', 'the npm registry is not reached')
            return
        with tarfile.open(f'{cache}/{got.stdout.split()[-1]}') as package:
            package.extractall(cache)
        os.chmod(tool, 0o755)
    for name in names:
        shutil.copy(f'{folder}/{name}', f'{folder}/{name}.sarif')
        done = subprocess.run([tool, 'validate', f'{folder}/{name}.sarif'], capture_output=True, text=True,
                              env={**os.environ, 'DOTNET_SYSTEM_GLOBALIZATION_INVARIANT': '1'}, check=False)
        text = done.stdout + done.stderr
        if 'Done.' not in text:
            skip(f'sarif: {name} valid to sarif-multitool', 'the validator does not run here')
            continue
        check(f'sarif: {name} valid to sarif-multitool', done.returncode == 0 and ' error ' not in text, text[-400:])


REQUIRED = {
    'identity': ['name', 'identity_class'],
    'extension-definition': ['name', 'schema', 'version', 'extension_types', 'created_by_ref'],
    'file': ['name', 'size'],
    'directory': ['path'],
    'observed-data': ['first_observed', 'last_observed', 'number_observed', 'object_refs'],
    'indicator': ['pattern', 'pattern_type', 'valid_from', 'indicator_types'],
    'sighting': ['sighting_of_ref'],
}
OBSERVED = ('file', 'directory')


def references(value, key=''):
    """Every identifier that a _ref or _refs property names."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from references(v, k)
    elif isinstance(value, list):
        for v in value:
            yield from references(v, key)
    elif key.endswith('_ref') or key.endswith('_refs'):
        yield value


def has_null(value):
    if isinstance(value, dict):
        return any(has_null(v) for v in value.values())
    return any(has_null(v) for v in value) if isinstance(value, list) else value is None


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False)


def check_stix_ids(objects):
    for o in objects:
        if o['type'] in OBSERVED:
            contributing = ('extensions', 'hashes', 'name', 'parent_directory_ref', 'path')
            text = canonical({k: o[k] for k in contributing if k in o})
            if o['id'] != f'{o["type"]}--{uuid.uuid5(OBSERVABLES, text)}':
                check('stix: observables are named by their content', False, o['id'])
                break
    else:
        check('stix: observables are named by their content', True)


def check_stix(folder):
    with open(f'{folder}/stix.out', encoding='utf-8') as f:
        bundle = json.load(f)
    objects = bundle['objects']
    ids = [o['id'] for o in objects]
    check('stix: a bundle', bundle['type'] == 'bundle' and bundle['id'].startswith('bundle--'))
    check('stix: no object stands twice', len(ids) == len(set(ids)))
    check('stix: no null and no empty list', not has_null(bundle) and '[]' not in canonical(bundle))
    form = re.compile(r'^[a-z-]+--[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$')
    check('stix: identifiers', all(form.match(o['id']) and o['id'].split('--')[0] == o['type'] for o in objects))
    times = re.compile(r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$')
    for o in objects:
        need = ['type', 'spec_version', 'id'] + [k for k in REQUIRED[o['type']] if not (k == 'size' and o['name'] == 'layer.tar')]
        if o['type'] not in OBSERVED:
            need += ['created', 'modified']
        lacking = [k for k in need if k not in o]
        stamps = [o[k] for k in ('created', 'modified', 'valid_from', 'first_observed', 'last_observed') if k in o]
        if lacking or not all(times.match(t) for t in stamps):
            check(f'stix: {o["type"]} is complete', False, lacking)
            break
    else:
        check('stix: every object is complete', True)
    check('stix: references lead to objects of the bundle', set(references(objects)) <= set(ids))
    check_stix_ids(objects)
    patterns = [o['pattern'] for o in objects if o['type'] == 'indicator']
    check('stix: an indicator for each finding, and a sighting of each',
          len(patterns) == 4 and sum(o['type'] == 'sighting' for o in objects) == 4
          and all(re.match(r"^\[file:hashes\.'SHA-256' = '[0-9a-f]{64}'\]$", p) for p in patterns), patterns)
    with open(f'{folder}/bad.stix.out', encoding='utf-8') as f:
        check('stix: a failed target still gives a bundle', json.load(f)['type'] == 'bundle')


def check_junit(folder):
    suite = ElementTree.parse(f'{folder}/junit.out').getroot().find('testsuite')
    cases = suite.findall('testcase')
    check('junit: coverage and four findings', len(cases) == 5 == int(suite.get('tests')))
    check('junit: failures are counted', len(suite.findall('testcase/failure')) == 4 == int(suite.get('failures')))
    check('junit: names are whole', any(c.get('name') == 'usr/bin/te<s>t &1' for c in cases))
    bad = ElementTree.parse(f'{folder}/bad.junit.out').getroot().find('testsuite')
    check('junit: a failed target is an error', bad.get('errors') == '1' and bad.find('testcase/error') is not None)


def check_ecs(folder):
    with open(f'{folder}/ecs.out', encoding='utf-8') as f:
        lines = [json.loads(line) for line in f]
    alerts = [line for line in lines if line['event']['kind'] == 'alert']
    check('ecs: a line for each finding and one for the target', len(alerts) == 4 and len(lines) == 5)
    check('ecs: what a log platform asks for',
          all(line['@timestamp'] and line['ecs']['version'] and line['event']['dataset'] for line in lines)
          and all(len(a['file']['hash']['sha256']) == 64 and a['rule']['id'] for a in alerts))
    with open(f'{folder}/bad.ecs.out', encoding='utf-8') as f:
        check('ecs: a failed target says why', 'message' in json.loads(f.read())['error'])


def main():
    komainu = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        make_container(f'{folder}/box.tar')
        scan(komainu, folder)
        check_sarif(folder)
        check_stix(folder)
        check_junit(folder)
        check_ecs(folder)
        check_hostile(komainu, folder)
    print(f'1..{passed + failed + skipped}')
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
