"""PyTorch's side of bench/bench_nn: the same networks, answering one request a line on standard input.

  infer NET THREADS SECONDS MODE   patches a second; MODE: eager, frozen
  train NET THREADS SECONDS        patches a second of steps of 16
  outputs NET WEIGHTS INPUT        writes random weights (safetensors) and two patches; prints PyTorch's logits
A single thread is timed by the process's processor time, two by wall clock, as bench_nn does.
"""
import json
import struct
import sys
import time

import numpy
import torch
from torch import nn

SIDE, INFER_BATCH, TRAIN_BATCH = 256, 8, 16


class Block(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False),
                                            nn.BatchNorm2d(channels))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        self.fc = nn.Linear(512, 1)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class Light(nn.Module):
    """On pictures that are coloured already: the colouring itself is not timed."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, 4, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        for i, (a, b) in enumerate([(16, 32), (32, 64), (64, 128)], 1):
            setattr(self, f'conv{i}', nn.Conv2d(a, b, 3, 2, 1, bias=False))
            setattr(self, f'norm{i}', nn.BatchNorm2d(b))
        self.conv4 = nn.Conv2d(128, 128, 3, 1, 1, bias=False)
        self.norm4 = nn.BatchNorm2d(128)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(128, 1)

    def forward(self, x):
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.norm2(self.conv2(x)))
        x = torch.relu(self.norm3(self.conv3(x)))
        x = torch.relu(self.norm4(self.conv4(x)) + x)
        return self.fc(self.dropout(x.mean((2, 3))))


NETS = {'resnet18': ResNet18, 'light-colour': Light}


def measure(threads, seconds, patches, work):
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.monotonic
    work()
    work()
    begin, count = clock(), 0
    while True:
        work()
        count += 1
        taken = clock() - begin
        if taken >= seconds:
            return patches * count / taken


def infer(name, threads, seconds, mode):
    net = NETS[name]().eval()
    x = torch.rand(INFER_BATCH * threads, 3, SIDE, SIDE)
    with torch.no_grad():
        if mode == 'frozen':
            net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, x)))
        return measure(threads, seconds, len(x), lambda: net(x))


def train(name, threads, seconds):
    net = NETS[name]().train()
    x, y = torch.rand(TRAIN_BATCH, 3, SIDE, SIDE), torch.arange(TRAIN_BATCH).remainder(2).float()[:, None]
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    loss = nn.BCEWithLogitsLoss()

    def step():
        optimiser.zero_grad()
        loss(net(x), y).backward()
        optimiser.step()
    return measure(threads, seconds, TRAIN_BATCH, step)


def write_safetensors(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, tensor in tensors.items():
        blob = tensor.detach().numpy().tobytes()
        dtype = {torch.float32: 'F32', torch.int64: 'I64'}[tensor.dtype]
        header[name] = {'dtype': dtype, 'shape': list(tensor.shape), 'data_offsets': [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + b''.join(blobs))


def hilbert(side):
    places = numpy.zeros(side * side, dtype=numpy.int64)
    for i in range(side * side):
        x = y = 0
        t, s = i, 1
        while s < side:
            right = 1 & (t // 2)
            up = 1 & (t ^ right)
            if not up:
                if right:
                    x, y = s - 1 - x, s - 1 - y
                x, y = y, x
            x += s * right
            y += s * up
            t //= 4
            s *= 2
        places[i] = y * side + x
    return places


def outputs(name, weights_path, input_path):
    torch.manual_seed(3)
    net = NETS[name]()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    tensor.uniform_(-0.5, 0.5)
    write_safetensors(weights_path, net.state_dict())
    if name == 'resnet18':
        x = torch.rand(2, 3, SIDE, SIDE)
        x.numpy().tofile(input_path)
    else:
        content = numpy.random.default_rng(3).integers(0, 256, (2, SIDE * SIDE), dtype=numpy.uint8)
        content.tofile(input_path)
        value = content.astype(numpy.int64)
        colours = numpy.stack([value % 5 / 4, value / 256, numpy.ones_like(value)], 1).astype(numpy.float32)
        picture = numpy.zeros_like(colours)
        picture[:, :, hilbert(SIDE)] = colours
        x = torch.from_numpy(picture.reshape(2, 3, SIDE, SIDE))
    with torch.no_grad():
        return ' '.join(f'{value:.9g}' for value in net.eval()(x)[:, 0].tolist())


def answer(words):
    if words[0] == 'infer':
        return infer(words[1], int(words[2]), float(words[3]), words[4])
    if words[0] == 'train':
        return train(words[1], int(words[2]), float(words[3]))
    return outputs(*words[1:])


print(torch.__version__, flush=True)
for line in sys.stdin:
    print(answer(line.split()), flush=True)
