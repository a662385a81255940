"""Checks po/ja.po: catalogue.py ROOT MSGFMT [--list]. Every sentence that people are shown has a Japanese one with the same
{placeholders}, no entry is left without use, and msgfmt accepts the file."""
import ast
import re
import subprocess
import sys

LITERAL = r'"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*'


def read(path):
    with open(f'{sys.argv[1]}/{path}', encoding='utf-8') as f:
        return f.read()


def joined(literals):
    return ''.join(ast.literal_eval(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', literals))


def block(text, begin):
    return text.split(begin, 1)[1].split('\n};', 1)[0].split('\n    };', 1)[0]


# Which argument of a call is the sentence.
CALLS = {'km_words': 0, 'km_words_format': 2, 'km_words_print': 1, 'print_label': 1, 'print_gone': 1, 'print_hint': 0, 'print_named': 0}


def sentences_of(text):
    """The literals in the sentence's argument of each call: both of a condition, adjacent ones joined."""
    found = []
    for call in re.finditer(r'\b(' + '|'.join(CALLS) + r')\(', text):
        at, depth, argument, kept = call.end(), 1, 0, ''
        while depth > 0:
            literal = re.compile(r'"(?:[^"\\]|\\.)*"').match(text, at)
            part = literal.group() if literal else text[at]
            depth += (part == '(') - (part == ')')
            argument += part == ',' and depth == 1
            kept += part if argument == CALLS[call.group(1)] and depth > 0 else ''
            at += len(part)
        found += [joined(m) for m in re.findall(LITERAL, kept)]
    return found


def wanted():
    """Sentences in the order of their tables and calls."""
    found = ['(the language of this catalogue)']
    for path, begin in (('src/finding/evidence.c', '} sentences[] = {'), ('src/desk/triage/runbook.c', 'runbooks[] = {')):
        found += [joined(m) for m in re.findall(LITERAL, block(read(path), begin)) if ' ' in m]
    for path in ('src/desk/report/html_pilot.c', 'src/desk/report/html_page.c'):
        text = read(path)
        calls = r'(?:km_words\(|(?:row_count|row_share|row_bytes|row_time|section|write_list)\(html, )'
        found += [joined(m) for m in re.findall(calls + r'\s*(' + LITERAL + ')', text)]
        if 'limits[] = {' in text:
            found += [joined(m) for m in re.findall(LITERAL, block(text, 'limits[] = {'))]
    kpi = ''.join(read(f'src/desk/triage/kpi_{name}.c') for name in ('alerts', 'coverage', 'upkeep'))
    found += [joined(m) for m in re.findall(r'km_kpi_add\(work,\s*(?:"[^"]*"|id),\s*(' + LITERAL + ')', kpi)]
    found += [joined(m) for m in re.findall(r'km_kpi_set(?:_share|_rate)?\([^;]*?(' + LITERAL + r')\s*\);', kpi)]
    found += [joined(m) for part in re.findall(r'note = ([^;]*);', kpi) for m in re.findall(LITERAL, part)]
    found += re.findall(r'\{"([^"]+)", "', block(read('src/desk/triage/survey.c'), 'questions[KM_SURVEY_QUESTIONS] = {'))
    found += [m for m in re.findall(r'"(\w+)"', read('src/desk/triage/stage_criteria.c').split('stage_names[', 1)[1].split(';')[0])]
    for path in ('src/cli/kpi_print.c', 'src/desk/triage/kpi_text.c', 'src/finding/text_output.c', 'src/finding/alert_output.c',
                 'src/cli/alerts_text.c', 'src/cli/cmd_alerts.c'):
        found += sentences_of(read(path))
    finding = read('src/finding/finding.c') + read('src/finding/decision.c')
    found += [joined(m) for m in re.findall(r'\[KM_(?:VERDICT|GAP|DECISION)_\w+\] = (' + LITERAL + ')', finding)]
    triage = read('src/desk/triage/triage.c')
    found += re.findall(r'return "(\w+)";', triage.split('km_triage_shown_to_string', 1)[1].split('\n}', 1)[0])
    found += re.findall(r'"(\w+)"', triage.split('state_names[', 1)[1].split('};', 1)[0].split('=', 1)[1])
    found += re.findall(r'return "(\w+)";', finding.split('\n}', 1)[0])
    return [text for text in dict.fromkeys(found) if text and text != 'unknown']


def catalogue():
    entries = {}
    for entry in re.split(r'\n\s*\n', read('po/ja.po')):
        match = re.search(r'^msgid (' + LITERAL + r')\s*^msgstr (' + LITERAL + ')', entry, re.M)
        if match and joined(match.group(1)):
            entries[joined(match.group(1))] = joined(match.group(2))
    return entries


if '--list' in sys.argv:
    print(*wanted(), sep='\n')
    sys.exit()
subprocess.run([sys.argv[2], '--check', '-o', '/dev/null', f'{sys.argv[1]}/po/ja.po'], check=True)
have, problems, texts = catalogue(), [], wanted()
for text in texts:
    if not have.get(text):
        problems.append(f'no Japanese for: {text}')
    elif sorted(re.findall(r'\{\w+\}', text)) != sorted(re.findall(r'\{\w+\}', have[text])):
        problems.append(f'other placeholders: {text}')
    elif not re.search('[\u3040-\u30ff\u4e00-\u9fff]', have[text]) and text != texts[0]:
        problems.append(f'not Japanese: {have[text]}')
problems += [f'no longer used: {text}' for text in have if text not in texts]
print(*problems, sep='\n')
print(f'{len(texts)} sentences, {len(problems)} problems')
sys.exit(bool(problems) or len(texts) < 150)
