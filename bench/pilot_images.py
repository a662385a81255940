#!/usr/bin/env python3
"""usage: bench/pilot_images.py FOLDER

Makes the images of bench-pilot from Debian packages of the corpus's test part (data/corpus/corpus.tsv; no detector
learned from it): OCI layouts FOLDER/APP-VERSION of nine applications in three versions (Debian 11, 12, 13), and of each
FOLDER/APP-VERSION+TOOL, with one more layer that holds the programs of a dual-use tool below /usr/local/sbin. The
first layer has packages with their database; the application's programs lie below /opt and belong to no package. Layers
are shared as hard links; nothing is run. FOLDER/apps.tsv and FOLDER/tools.tsv list what there is. Packages come from
KOMAINU_MIRROR and are kept in KOMAINU_CORPUS_CACHE, as for bench-detect; what cannot be had is left out, and said.
"""
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUITES = ['bullseye', 'bookworm', 'trixie']
BASE = ['tar', 'hwdata', 'binfmt-support']
APPS = {
    'ops/nettools': 'nmap ncat ndiff arping mtr-tiny arp-scan',
    'ops/capture': 'netsniff-ng tshark wireshark-common scalpel',
    'ops/audit': 'tiger cracklib-runtime policycoreutils firejail',
    'web/relay': 'carbon-c-relay cubemap wrk varnish-modules privoxy',
    'net/gateway': 'keepalived libreswan openvpn sslh ebtables conntrack nftables',
    'mail/fetch': 'fetchmail policyd-rate-limit imgsizer',
    'shop/tools': 'zutils vobcopy opencc progress htop',
    'build/agent': 'automake rusty-tags ipp-usb dropbear-bin netcat-traditional',
    'mon/agent': 'xymon-client nfdump mysqltuner nagios4-common',
}
TOOLS = ('bruteforce-luks chntpw cowpatty crunch fcrackzip hping3 ike-scan mdk4 nbtscan netwox princeprocessor reaver '
         'rinetd samdump2 sbd sendip steghide t50 tcpick yersinia horst goldeneye parsero bruteforce-wallet')


def read_corpus():
    """(package, suite): (sha256, path) of the test part."""
    found = {}
    with open(os.path.join(ROOT, 'data', 'corpus', 'corpus.tsv'), encoding='utf-8') as lines:
        for line in lines:
            fields = line.rstrip('\n').split('\t')
            if len(fields) == 11 and fields[1] == 'test' and fields[4] == 'amd64':
                found[fields[5], fields[3]] = (fields[9], fields[10])
    return found


def fetch(row):
    """The path of a package file, or None."""
    sha256, path = row
    folder = os.environ.get('KOMAINU_CORPUS_CACHE') or os.path.expanduser('~/.cache/komainu/corpus')
    mirror = os.environ.get('KOMAINU_MIRROR', 'http://deb.debian.org/debian')
    kept = os.path.join(folder, sha256 + '.deb')
    if not os.path.exists(kept):
        os.makedirs(folder, exist_ok=True)
        try:
            with urllib.request.urlopen(mirror + '/' + path, timeout=60) as answer:
                content = answer.read()
        except OSError as error:
            print(f'pilot_images: {path}: {error}', file=sys.stderr)
            return None
        with open(kept + '.part', 'wb') as out:
            out.write(content)
        os.rename(kept + '.part', kept)
    with open(kept, 'rb') as content:
        if hashlib.sha256(content.read()).hexdigest() == sha256:
            return kept
    print(f'pilot_images: {kept} is not the file of the recipe', file=sys.stderr)
    return None


def members(deb, option):
    """(name, mode, content or link) of a package's files or control files."""
    told = subprocess.run(['dpkg-deb', option, deb], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(told)) as tar:
        for member in tar:
            name = member.name[2:] if member.name.startswith('./') else member.name
            if member.isreg():
                yield name, member.mode & 0o777, tar.extractfile(member).read()
            elif member.issym():
                yield name, None, member.linkname


class Layer:
    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode='w', format=tarfile.PAX_FORMAT)

    def add(self, name, mode, content):
        info = tarfile.TarInfo(name)
        if mode is None:
            info.type, info.linkname = tarfile.SYMTYPE, content
            self.tar.addfile(info)
            return
        info.mode, info.size = mode, len(content)
        self.tar.addfile(info, io.BytesIO(content))

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def base_layer(debs):
    layer, status = Layer(), b''
    for package, deb in debs:
        names = ['/.']
        for name, mode, content in members(deb, '--fsys-tarfile'):
            layer.add(name, mode, content)
            names.append('/' + name)
        for name, _, content in members(deb, '--ctrl-tarfile'):
            if name == 'control':
                status += content.rstrip() + b'\nStatus: install ok installed\n\n'
            elif name == 'md5sums':
                layer.add(f'var/lib/dpkg/info/{package}.md5sums', 0o644, content)
        layer.add(f'var/lib/dpkg/info/{package}.list', 0o644, ('\n'.join(names) + '\n').encode())
    layer.add('var/lib/dpkg/status', 0o644, status)
    return layer.bytes()


def app_layer(debs):
    layer = Layer()
    for package, deb in debs:
        for name, mode, content in members(deb, '--fsys-tarfile'):
            layer.add(f'opt/{package}/{name}', mode, content)
    return layer.bytes()


def tool_layer(deb):
    layer, count = Layer(), 0
    for name, mode, content in members(deb, '--fsys-tarfile'):
        if mode is not None and mode & 0o111 and os.path.dirname(name) in ('usr/bin', 'usr/sbin'):
            layer.add('usr/local/sbin/' + os.path.basename(name), 0o755, content)
            count += 1
    return layer.bytes() if count else None


class Store:
    """Blobs that the layouts share."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, 'blobs')
        os.makedirs(self.folder, exist_ok=True)

    def put(self, content):
        digest = hashlib.sha256(content).hexdigest()
        path = os.path.join(self.folder, digest)
        if not os.path.exists(path):
            with open(path, 'wb') as out:
                out.write(content)
        return digest, len(content)


def write_layout(store, folder, reference, layers):
    config = {'architecture': 'amd64', 'os': 'linux', 'config': {},
              'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + digest for digest, _ in layers]},
              'history': [{'created_by': 'COPY layer'} for _ in layers]}
    config = store.put(json.dumps(config, sort_keys=True).encode())

    def descriptor(kind, blob):
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': 'sha256:' + blob[0], 'size': blob[1]}

    manifest = {'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
                'config': descriptor('config.v1+json', config),
                'layers': [descriptor('layer.v1.tar', layer) for layer in layers]}
    manifest = store.put(json.dumps(manifest, sort_keys=True).encode())
    index = dict(descriptor('manifest.v1+json', manifest), annotations={'org.opencontainers.image.ref.name': reference})
    blobs = os.path.join(folder, 'blobs', 'sha256')
    os.makedirs(blobs)
    for digest, _ in layers + [config, manifest]:
        os.link(os.path.join(store.folder, digest), os.path.join(blobs, digest))
    with open(os.path.join(folder, 'oci-layout'), 'w', encoding='utf-8') as out:
        json.dump({'imageLayoutVersion': '1.0.0'}, out)
    with open(os.path.join(folder, 'index.json'), 'w', encoding='utf-8') as out:
        json.dump({'schemaVersion': 2, 'manifests': [index]}, out)


def all_debs(corpus, packages, suite):
    """None when one of them cannot be had."""
    rows = [(package, corpus.get((package, suite))) for package in packages]
    debs = [(package, fetch(row) if row else None) for package, row in rows]
    return debs if all(deb for _, deb in debs) else None


def main():
    folder = sys.argv[1]
    corpus, store, tools = read_corpus(), Store(folder), {}
    for tool in TOOLS.split():
        deb = fetch(corpus[tool, 'bookworm'])
        content = tool_layer(deb) if deb else None
        if content:
            tools[tool] = store.put(content)
    complete = []
    for app, packages in APPS.items():
        layers = []
        for suite in SUITES:
            base, own = all_debs(corpus, BASE, suite), all_debs(corpus, packages.split(), suite)
            if base and own:
                layers.append([store.put(base_layer(base)), store.put(app_layer(own))])
        if len(layers) < len(SUITES):
            print(f'pilot_images: {app} is left out: a package cannot be had', file=sys.stderr)
            continue
        complete.append(app)
        for version, image in enumerate(layers, 1):
            name = os.path.join(folder, f'{app.replace("/", "-")}-{version}')
            write_layout(store, name, f'{app}:{version}', image)
            for tool, layer in tools.items():
                write_layout(store, f'{name}+{tool}', f'{app}:{version}', image + [layer])
    for name, items in (('apps.tsv', complete), ('tools.tsv', tools)):
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as out:
            out.writelines(item.replace('/', '-') + '\n' for item in items)


main()
