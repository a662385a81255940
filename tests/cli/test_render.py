#!/usr/bin/env python3
"""usage: test_render.py KOMAINU CORPUS

`komainu render` against golden pictures, against a second implementation with Python's tarfile on random, damaged and
truncated archives of all dialects, and its behaviour on the command line. Prints TAP.
"""
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import tarfile
import tempfile

import render_model as model

KOMAINU, CORPUS = sys.argv[1], sys.argv[2]
DATA = os.environ.get('KOMAINU_BENCH_DATA')
DEFAULT_MAPS = ['class', 'magnitude', 'structure']


class Skip(Exception):
    pass


def run(*args, stdin=None, limit_bytes=None, **kw):
    def limit():
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    return subprocess.run([KOMAINU, 'render', *map(str, args)], input=stdin, capture_output=True, timeout=120,
                          preexec_fn=limit, restore_signals=False, **kw)


def render(*args, **kw):
    done = run(*args, **kw)
    assert done.returncode == 0, (args, done.stderr)
    return done


def decoded(path):
    with open(path, 'rb') as f:
        return model.read_png(f.read())


def write(name, data):
    with open(name, 'wb') as f:
        f.write(data)
    return name


def refused(expected, *args, **kw):
    done = run(*args, **kw)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1, (args, done.returncode, done.stderr)
    assert len(lines) == 1 and lines[0].startswith('komainu: render: ') and expected in lines[0], (args, lines)
    assert done.stdout == b'', done.stdout


def compare(data, side, layout='unrolled', step=0, curve='hilbert', maps=None, names=None):
    maps = maps or DEFAULT_MAPS
    write('in', data)
    args = ['in', '--size', side, '--layout', layout, '--curve', curve]
    args += ['--step', step] if step else []
    if names is None:
        args += ['-o', 'out.png', '--colors', ','.join(maps)]
    else:
        write('names', b'\0'.join(os.fsencode(n) for n in names))
        args += ['--mask-paths', 'names', '--null', '--mask-output', 'out.png']
    render(*args)
    got, want = decoded('out.png'), model.picture(data, side, layout, step, curve, maps, names)
    assert got == want, ('pictures differ', args, len(data))


# ---- Golden pictures ----

def golden_pictures():
    if not DATA or not os.path.isdir(os.path.join(DATA, 'binvis')):
        raise Skip('KOMAINU_BENCH_DATA is not set: no golden pictures')
    folder = os.path.join(DATA, 'binvis')
    layouts = {'sq': 'square', 'un': 'unrolled', 'unn': 'unrolled_n'}
    seen = 0
    for name in sorted(os.listdir(folder)):
        if not name.endswith('.png'):
            continue
        stem = name[:-4]
        if stem.startswith('range'):
            source, rest = stem.split('__s')
            size, layout, colours = rest.split('_')
            path = write('range', bytes(range(int(source[5:]))))
        else:
            source, size, layout = re.fullmatch(r'(.*)_s(\d+)_(\w+)', stem).groups()
            colours, path = ','.join(DEFAULT_MAPS), os.path.join(folder, source + '.tar')
        render(path, '-o', 'golden.png', '--size', size, '--layout', layouts[layout], '--colors', colours)
        assert decoded('golden.png') == decoded(os.path.join(folder, name)), name
        seen += 1
    assert seen > 0, 'no pictures in ' + folder


# ---- Against the model ----

def random_archive(rng):
    dialect = rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    headers = {'pax_headers': {'comment': 'global'}} if dialect == tarfile.PAX_FORMAT and rng.random() < .5 else {}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=dialect, **headers) as tar:
        for i in range(rng.randrange(0, 9)):
            name = 'n%d' % i + 'x' * rng.choice([0, 0, 60])
            if dialect != tarfile.USTAR_FORMAT and rng.random() < .3:
                name += '/' + 'y' * 150
            if rng.random() < .2:
                name += '\nq'
            member = tarfile.TarInfo(name)
            member.type = rng.choice([b'0'] * 6 + [b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'\0', b'Z'])
            if member.type in b'12':
                member.linkname = 'l' * rng.choice([1, 50])
            body = b''
            if member.type in (b'0', b'7', b'\0', b'Z'):
                body = rng.choice([bytes(rng.randrange(256) for _ in range(rng.randrange(900))), b'text \0\xff' * 90])
                member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return bytearray(out.getvalue())


def claim_sizes(rng, data):
    """Gives members of all types a size that they do not have: links that claim data, overlapping claims."""
    for at in range(0, len(data) - 512, 512):
        if data[at + 257:at + 262] == b'ustar' and data[at + 156:at + 157] in b'0123456' and rng.random() < .5:
            data[at + 124:at + 136] = b'%011o\0' % rng.randrange(9000)
            data[at + 148:at + 156] = b' ' * 8
            data[at + 148:at + 156] = b'%06o\0 ' % sum(data[at:at + 512])
    return data


def random_input(rng):
    data, kind = random_archive(rng), rng.randrange(8)
    if kind == 0:
        del data[rng.randrange(len(data)):]
    elif kind == 1:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        data += bytes(rng.randrange(20000))
    elif kind == 3:
        data = claim_sizes(rng, data)
    elif kind == 4:
        data = bytearray(rng.randrange(256) for _ in range(rng.randrange(1, 900)))
    return bytes(data)


def random_pictures_equal_the_model():
    for seed in range(60):
        rng = random.Random(seed)
        data = random_input(rng)
        layout = rng.choice(['square', 'unrolled', 'unrolled', 'unrolled_n'])
        step = rng.choice([0, 3, 30, 700]) if layout == 'unrolled' else 0
        curve = rng.choice(['hilbert', 'hilbert', 'zigzag'])
        side = rng.choice([8, 16, 32]) if curve == 'hilbert' else rng.choice([7, 9, 16, 33])
        maps = rng.choice([DEFAULT_MAPS] * 3 + [['class'], ['magnitude'], ['structure'], ['class', 'magnitude'],
                                                ['structure', 'class', 'magnitude', 'class']])
        compare(data, side, layout, step, curve, maps)


def entropy_equals_the_model():
    for seed in range(12):
        rng = random.Random(seed)
        data = bytes(rng.choice([0, 0, 65, rng.randrange(256)]) for _ in range(rng.choice([1, 2, 20, 300, 1500])))
        compare(data, 16, 'square', maps=['entropy'])
        compare(data, 8, 'unrolled', rng.choice([0, 3]), maps=['entropy'])
        compare(data, 16, 'unrolled_n', maps=['class', 'entropy', 'magnitude'])


def smallest_sizes():
    for n in (0, 1, 2, 3, 5, 17):
        data = bytes(range(65, 65 + n))
        for layout in ('square', 'unrolled', 'unrolled_n'):
            for side in (1, 2, 4):
                compare(data, side, layout)
            compare(data, 3, layout, curve='zigzag')
        compare(data, 2, 'unrolled', 2)


def corpus_structure_equals_tarfile():
    names = [n for n in sorted(os.listdir(CORPUS)) if n.endswith('.tar')]
    assert len(names) > 10
    for name in names:
        with open(os.path.join(CORPUS, name), 'rb') as f:
            compare(f.read(), 64, 'unrolled_n', maps=['structure'])


def every_truncation_and_damage():
    """Cut and flipped in every region of a PAX and a GNU archive: the picture of what tarfile still sees."""
    for name in ('posix.tar', 'gnu.tar'):
        with open(os.path.join(CORPUS, name), 'rb') as f:
            whole = f.read()
        for cut in range(1, len(whole), 331):
            compare(whole[:cut], 32, 'unrolled_n', maps=['structure'])
        for at in range(0, len(whole), 173):
            data = bytearray(whole)
            data[at] ^= 0x55
            write('in', data)
            done = run('in', '-o', 'out.png', '--size', 32)
            assert done.returncode == 0 and done.stderr.count(b'\n') <= 1, (name, at, done)


def gnu_tar_dialects():
    if subprocess.run(['tar', '--version'], capture_output=True).stdout[:13] != b'tar (GNU tar)':
        raise Skip('no GNU tar')
    os.makedirs('tree/sub', exist_ok=True)
    write('tree/a', b'alpha')
    write('tree/sub/' + 'long' * 30, b'beta' * 300)
    write('tree/new\nline', b'x')
    os.path.lexists('tree/link') or os.symlink('a' * 120, 'tree/link')
    os.path.lexists('tree/hard') or os.link('tree/a', 'tree/hard')
    with open('tree/sparse', 'wb') as f:
        for i in range(8):
            f.seek(i * 65536)
            f.write(b'data')
        f.truncate(1 << 20)
    options = [['--format=' + f] for f in ('v7', 'ustar', 'oldgnu', 'gnu', 'posix')]
    options += [['-S', '--format=gnu']] + [['-S', '--format=posix', '--sparse-version=' + v] for v in ('0.0', '0.1', '1.0')]
    for option in options:
        subprocess.run(['tar', '-cf', 'dialect.tar', *option, 'tree'], capture_output=True)
        with open('dialect.tar', 'rb') as f:
            data = f.read()
        compare(data, 64, 'unrolled', maps=['structure'])
        compare(data, 64, 'unrolled', names=['tree/a', 'tree/sub/' + 'long' * 30, 'tree/new\nline', 'tree/sparse'])


# ---- Masks ----

def masks_equal_the_model():
    for seed in range(20):
        rng = random.Random(1000 + seed)
        data = random_input(rng)
        known = [m.name for m in model.members(data)]
        names = rng.sample(known, rng.randrange(len(known) + 1)) + ['not/there']
        compare(data, 16, rng.choice(['square', 'unrolled', 'unrolled_n']), names=names)


def mask_reports_what_is_missing():
    with open(os.path.join(CORPUS, 'ustar.tar'), 'rb') as f:
        write('m.tar', f.read())
    write('paths', b'/d/a.txt\nnot\x1bthere\n\nd/a.txt\n')
    done = render('m.tar', '-o', 'm.png', '--mask-paths', 'paths', '--mask-output', 'm.mask.png', '--size', 64)
    assert done.stderr.decode() == "komainu: render: note: no member 'not\\x1bthere': the mask does not show it\n", done.stderr
    assert decoded('m.png')[:2] == decoded('m.mask.png')[:2]
    assert any(any(r) for r in decoded('m.mask.png')[2])


# ---- Where is it ----

def located(*args):
    return json.loads(render(*args, '--format', 'json').stdout)


def bytes_and_pixels_round_trip():
    path = os.path.join(CORPUS, 'posix.tar')
    size = os.path.getsize(path)
    shapes = [['--layout', 'square', '--size', 32], ['--size', 64], ['--size', 16, '--step', 7],
              ['--layout', 'unrolled_n', '--size', 32], ['--curve', 'zigzag', '--size', 33]]
    rng = random.Random(5)
    for shape in shapes:
        for offset in [0, size - 1] + [rng.randrange(size) for _ in range(6)]:
            pixel = located(path, '--byte', offset, *shape)
            back = located(path, '--at', '%d,%d' % (pixel['col'], pixel['row']), *shape)
            assert back['offset'] <= offset < back['end'], (shape, offset, pixel, back)


def places_name_their_members():
    path = os.path.join(CORPUS, 'gnu.tar')
    with open(path, 'rb') as f:
        data = f.read()
    for member in model.members(data):
        header = located(path, '--byte', member.offset)
        assert (header['part'], header['member']) == ('header', member.name), header
        if member.isreg() and member.size:
            last = located(path, '--byte', member.size - 1, '--member', member.name)
            assert last['offset'] == member.offset_data + member.size - 1, last
            assert (last['part'], last['member'], last['member_offset']) == ('data', member.name, member.size - 1), last
    assert located(path, '--byte', len(data) - 1)['part'] == 'tail'
    text = render(path, '--at', '0,0').stdout.decode()
    assert text.startswith('pixel   0,0\nbytes   0 to ') and 'member  d' in text, text
    refused('outside the picture', path, '--at', '1024,0')
    refused('behind the end', path, '--byte', len(data))
    refused("no member 'nothing'", path, '--byte', 0, '--member', 'nothing')


def file_view_shows_every_byte():
    path = os.path.join(CORPUS, 'posix.tar')
    with open(path, 'rb') as f:
        data = f.read()
    render(path, '-o', 'sheet.png', '--view', 'file', '--size', 256)
    _, _, rows = decoded('sheet.png')
    pixels = {}
    for member in model.members(data):
        if not member.isreg():
            continue
        for within in range(0, member.size, 97):
            at = located(path, '--view', 'file', '--size', 256, '--byte', within, '--member', member.name)
            byte = data[member.offset_data + within]
            shown = rows[at['row']][3 * at['col']:3 * at['col'] + 3]
            assert shown == bytes([model.byte_class(byte), byte, 255]), (member.name, within, shown)
            back = located(path, '--view', 'file', '--size', 256, '--at', '%d,%d' % (at['col'], at['row']))
            assert back['offset'] == member.offset_data + within and back['member'] == member.name, back
            assert pixels.setdefault((at['col'], at['row']), (member.name, within)) == (member.name, within)
    inside = sum(r[i + 2] == 255 for r in rows for i in range(0, len(r), 3))
    assert inside == sum(m.size for m in model.members(data) if m.isreg())


# ---- Command line ----

def standard_input_and_output():
    with open(os.path.join(CORPUS, 'ustar.tar'), 'rb') as f:
        data = f.read()
    write('plain.tar', data)
    render('plain.tar', '-o', 'plain.png', '--size', 32)
    piped = render('-', '-o', '-', '--size', 32, stdin=data)
    assert model.read_png(piped.stdout) == decoded('plain.png')
    done = run('-', '-o', 'x.png', stdin=data, env={**os.environ, 'TMPDIR': '/no/such/folder'})
    assert done.returncode == 1 and b'cannot be stored in /no/such/folder' in done.stderr, done.stderr
    assert not os.path.exists('x.png')


def large_sparse_files():
    with open('large', 'wb') as f:
        f.truncate((5 << 30) + 4)
        for at in (0, (3 << 30) + 12288, (5 << 30) + 3):
            f.seek(at)
            f.write(b'\xff')
    done = subprocess.run(['/usr/bin/env', KOMAINU, 'render', 'large', '-o', 'large.png', '--size', '256', '--layout',
                           'square', '--colors', 'magnitude'], capture_output=True)
    assert done.returncode == 0, done.stderr
    size, pixels = (5 << 30) + 4, 65536
    points, scale = model.hilbert(256), size / pixels
    _, _, rows = decoded('large.png')
    lit = {(c, r) for r, row in enumerate(rows) for c in range(256) if row[3 * c]}
    want = {points[p] for p in range(pixels) if int(p * scale) in (0, (3 << 30) + 12288, (5 << 30) + 3)}
    assert lit == want and points[0] in lit, (lit, want)
    at = located('large', '--byte', (5 << 30) + 3, '--size', 256, '--layout', 'square')
    back = located('large', '--at', '%d,%d' % (at['col'], at['row']), '--size', 256, '--layout', 'square')
    assert back['end'] == (5 << 30) + 4, back
    os.unlink('large')


def memory_stays_small():
    """An archive that claims 8 GB in a sparse member, endless names and PAX records: address space of 200 MB."""
    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
    program = open(KOMAINU, 'rb').read()
    if b'__asan_init' in program or b'__tsan_init' in program:
        raise Skip('a sanitizer needs more address space')
    header = tarfile.TarInfo('././@LongLink')
    header.type, header.size = b'L', 64 << 20
    with open('names.tar', 'wb') as f:
        f.write(header.tobuf(tarfile.GNU_FORMAT))
        f.seek(512 + (64 << 20))
        member = tarfile.TarInfo('f')
        member.size = 8 << 30
        f.write(member.tobuf(tarfile.GNU_FORMAT) + b'x' * 512)
    header.type = b'x'
    with open('pax.tar', 'wb') as f:
        f.write(header.tobuf(tarfile.GNU_FORMAT) + b'12 path=abc\n' * ((64 << 20) // 12) + b'\0' * ((64 << 20) % 12))
        f.write(member.tobuf(tarfile.GNU_FORMAT))
    for name in ('names.tar', 'pax.tar'):
        done = subprocess.run([KOMAINU, 'render', name, '-o', 'claims.png', '--size', '256'], capture_output=True,
                              preexec_fn=limited)
        assert done.returncode == 0 and done.stderr.count(b'\n') == 1, done
        os.unlink(name)


def notes_say_what_is_missing():
    def note(name):
        return render(os.path.join(CORPUS, name), '-o', 'n.png', '--size', 16).stderr.decode()
    assert note('ustar.tar') == ''
    assert 'note: not a tar archive: the picture has no structure' in note('text')
    assert 'note: truncated archive' in note('truncated.tar')
    assert 'note: damaged header at offset' in note('damaged.tar')


def bad_usage():
    tar = os.path.join(CORPUS, 'ustar.tar')
    refused('no FILE given')
    refused('give one of', tar)
    refused('give one of', tar, '-o', 'x.png', '--at', '0,0')
    refused("unknown option '--frobnicate'", tar, '--frobnicate')
    refused('--size wants an argument', tar, '-o', 'x.png', '--size')
    refused("--size wants a number, not '12x'", tar, '-o', 'x.png', '--size', '12x')
    refused('power of two', tar, '-o', 'x.png', '--size', '100')
    refused('--step goes with', tar, '-o', 'x.png', '--layout', 'square', '--step', '3')
    refused('--step must be between', tar, '-o', 'x.png', '--step', '-1')
    refused("no colour map 'purple'", tar, '-o', 'x.png', '--colors', 'class,purple')
    refused('more than 4', tar, '-o', 'x.png', '--colors', 'class,class,class,class,class')
    refused('--layout is one of', tar, '-o', 'x.png', '--layout', 'round')
    refused('go together', tar, '-o', 'x.png', '--mask-paths', tar)
    refused('multiple of 256', tar, '-o', 'x.png', '--view', 'file', '--size', '64')
    refused('--view file has no', tar, '-o', 'x.png', '--view', 'file', '--step', '3')
    refused('No such file', '/no/such/file', '-o', 'x.png')
    refused('a directory', '/', '-o', 'x.png')
    refused('cannot write', tar, '-o', '/no/such/folder/x.png')
    refused('COL,ROW', tar, '--at', '5')
    refused('one FILE', tar, tar, '-o', 'x.png')
    assert not os.path.exists('x.png')
    assert run('--help').returncode == 0


def no_half_pictures():
    before = set(os.listdir('.'))
    refused('File too large', os.path.join(CORPUS, 'posix.tar'), '-o', 'half.png', '--png-level', '0', limit_bytes=100000)
    if os.path.exists('/dev/full'):
        refused('No space left', os.path.join(CORPUS, 'posix.tar'), '-o', '/dev/full')
    assert set(os.listdir('.')) == before, set(os.listdir('.')) - before
    with open('half.png', 'w') as f:
        f.write('old')
    refused('File too large', os.path.join(CORPUS, 'posix.tar'), '-o', 'half.png', '--png-level', '0', limit_bytes=100000)
    with open('half.png') as f:
        assert f.read() == 'old'


def levels_change_the_size_only():
    tar = os.path.join(CORPUS, 'posix.tar')
    pictures = []
    for level in (0, 1, 9):
        render(tar, '-o', 'level.png', '--size', 64, '--png-level', level)
        pictures.append(decoded('level.png'))
    assert pictures[0] == pictures[1] == pictures[2]


TESTS = [golden_pictures, random_pictures_equal_the_model, entropy_equals_the_model, smallest_sizes,
         corpus_structure_equals_tarfile, every_truncation_and_damage, gnu_tar_dialects, masks_equal_the_model,
         mask_reports_what_is_missing, bytes_and_pixels_round_trip, places_name_their_members,
         file_view_shows_every_byte, standard_input_and_output, large_sparse_files, memory_stays_small,
         notes_say_what_is_missing, bad_usage, no_half_pictures, levels_change_the_size_only]


def main():
    global KOMAINU, CORPUS
    KOMAINU, CORPUS = os.path.abspath(KOMAINU), os.path.abspath(CORPUS)
    print('1..%d' % len(TESTS))
    failed = 0
    with tempfile.TemporaryDirectory(prefix='komainu-render-') as folder:
        os.chdir(folder)
        for number, test in enumerate(TESTS, 1):
            try:
                test()
                print('ok %d - %s' % (number, test.__name__), flush=True)
            except Skip as reason:
                print('ok %d - %s # SKIP %s' % (number, test.__name__, reason), flush=True)
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                print('not ok %d - %s' % (number, test.__name__), flush=True)
                print('# %s: %s' % (type(error).__name__, str(error)[:2000]), flush=True)
        os.chdir('/')
    return failed > 0


sys.exit(main())
