"""Reads a report as strict XML and as HTML: report_page.py [--text] FILE. Says what breaks the rules of a report."""
import sys
import xml.etree.ElementTree as tree
from html.parser import HTMLParser

ALLOWED = {'html', 'head', 'meta', 'title', 'style', 'body', 'h1', 'h2', 'h3', 'p', 'table', 'tr', 'th', 'td', 'ul', 'li', 'br',
           'span', 'figure', 'figcaption', 'svg', 'rect', 'text', 'path'}
ATTRIBUTES = {'lang', 'charset', 'http-equiv', 'content', 'name', 'class', 'viewBox', 'width', 'height', 'role', 'x', 'y', 'd',
              'fill', 'stroke'}
path = sys.argv[-1]
with open(path, encoding='utf-8', newline='') as f:
    page = f.read()
root = tree.fromstring(page.encode())
problems = [f'element {e.tag}' for e in root.iter() if e.tag not in ALLOWED]
problems += [f'attribute {name} of {e.tag}' for e in root.iter() for name in e.attrib if name not in ATTRIBUTES]
lower = page.lower()
problems += [f'has {word}' for word in ('http:', 'https:', '<script', '<img', 'url(', '@import', 'javascript:') if word in lower]
problems += [f'control character {ord(c):#x}' for c in set(page) if ord(c) < 32 and c != '\n' or 0x202a <= ord(c) <= 0x202e]


class Counter(HTMLParser):
    tags = 0

    def handle_starttag(self, tag, attrs):
        Counter.tags += 1


Counter().feed(page)
if Counter.tags != sum(1 for _ in root.iter()):
    problems.append('an HTML reader and an XML reader disagree')
if '--text' in sys.argv:
    for row in root.iter():
        if row.tag in ('h1', 'h2', 'h3', 'li', 'figcaption'):
            print(f'{row.tag}: ' + ''.join(row.itertext()))
        elif row.tag == 'tr':
            print('  ' + ' | '.join(''.join(cell.itertext()) for cell in row))
else:
    print(f'{path}: lang {root.get("lang")}, "{root.findtext("body/h1")}", {len(list(root.iter("svg")))} pictures')
    for item in root.iter('td'):
        if 'script' in (item.text or ''):
            print('  escaped:', item.text)
print(*problems, sep='\n') if problems else None
