# A container as one picture, with a network that the user brings. All weights are 0: the last bias is the answer.
scan() { echo "\$ komainu scan $*"; "$KOMAINU" scan "$@" 2>&1 | sed -E 's/\([0-9]+ s\)/(TIME)/; s/sha256:[0-9a-f]{16}/sha256:DIGEST/'; echo "exit ${PIPESTATUS[0]}"; }

cat >make.py <<'P'
import hashlib, json, struct, sys
name, logit, step, extra = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
shapes = {'conv1.weight': [64, 3, 7, 7]}
def norm(at, n):
    shapes.update({f'{at}.{part}': [n] for part in ('weight', 'bias', 'running_mean', 'running_var')})
norm('bn1', 64)
for layer in range(4):
    out = 64 << layer
    for block in range(2):
        into, at = out // 2 if layer and not block else out, f'layer{layer + 1}.{block}'
        shapes[f'{at}.conv1.weight'], shapes[f'{at}.conv2.weight'] = [out, into, 3, 3], [out, out, 3, 3]
        norm(f'{at}.bn1', out), norm(f'{at}.bn2', out)
        if into != out:
            shapes[f'{at}.downsample.0.weight'] = [out, into, 1, 1]
            norm(f'{at}.downsample.1', out)
shapes.update({'fc.0.weight': [256, 512], 'fc.0.bias': [256], 'fc.2.weight': [2, 256], 'fc.2.bias': [2]})
if 'shape' in extra:
    shapes['fc.2.weight'] = [256, 2]
header, body = {}, b''
for tensor, shape in shapes.items():
    count = 1
    for n in shape:
        count *= n
    values = struct.pack('<ee', -logit, logit) if tensor == 'fc.2.bias' else bytes(2 * count)
    if 'nan' in extra and tensor == 'fc.0.bias':
        values = struct.pack('<e', float('nan')) + values[2:]
    header[tensor] = {'dtype': 'F16', 'shape': shape, 'data_offsets': [len(body), len(body) + len(values)]}
    body += values
text = json.dumps(header).encode()
data = struct.pack('<Q', len(text)) + text + body
open(name + '.safetensors', 'wb').write(data)
card = {'komainu_card': 1, 'name': name, 'architecture': 'resnet18', 'hidden': 256, 'view': 'tar', 'outputs': 2,
        'picture': {'size': 256, 'step': step}, 'created': '2026-11-22', 'data': [], 'seeds': [], 'metrics': [],
        'thresholds': [], 'weights': {'sha256': hashlib.sha256(data).hexdigest(), 'bytes': len(data)}}
if 'digest' in extra:
    card['weights']['sha256'] = '0' * 64
json.dump(card, open(name + '.json', 'w'))
P
mkdir root && echo hello >root/motd
tar --format=ustar --owner=0 --group=0 --mtime=@0 --mode=0644 -cf app.tar -C root motd
python3 make.py low -2 1 && python3 make.py high 2 1 && python3 make.py service 2 30

echo '--- every byte'
scan --view tar --model low.json app.tar
scan --view tar --model high.json tar:app.tar
scan --view tar --model high.json --fail-on suspicious - <app.tar | tail -n 1
cat app.tar | scan --view tar --model high.json --fail-on suspicious - | tail -n 1
echo '--- one byte in 30'
scan --view tar --model service.json app.tar
echo '--- JSON'
"$KOMAINU" scan --view tar --model high.json --format json app.tar >out.json
python3 - "$SOURCE/data/schema/scan-1.json" out.json <<'P'
import json, sys
schema, result = (json.load(open(f)) for f in sys.argv[1:])
try:
    import jsonschema
    jsonschema.validate(result, schema)
except ImportError:
    pass
finding = result['findings'][0]
args = finding['evidence'][0]['args']
print(result['verdict'], finding['ranges'], finding['evidence'][0]['id'], args['patches'], args['above'],
      round(args['score'], 3), round(args['benign'], 3), args['threshold'])
P
echo '--- what is no archive'
scan --view tar --model low.json root
gzip -k app.tar && scan --view tar --model low.json app.tar.gz | sed 's/of [0-9]* B/of N B/'
scan --view tar --model low.json registry:app
echo '--- a model that is not one'
mkdir bad && cd bad && python3 ../make.py shape 0 1 shape && python3 ../make.py nan 0 1 nan && python3 ../make.py digest 0 1 digest && cd ..
for name in shape nan digest none; do scan --view tar --model bad/$name.json app.tar; done
scan --view tar --model bad app.tar
scan --view tar app.tar
scan --view tar --model low.json --hash-list x app.tar
