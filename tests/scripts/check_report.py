# SPDX-License-Identifier: Apache-2.0
"""check_report.py TESSERA WORK [WRITE_CORPUS]: pages of `tessera report` are well formed, hold
nothing from outside, escape what strangers wrote, and show what is there and nothing else."""
import base64
import json
import math
import os
import re
import struct
import subprocess
import sys
import wave
from html.parser import HTMLParser

TESSERA, WORK = sys.argv[1], sys.argv[2]
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\'&"'
VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}
SVG_EMPTY = {'path', 'rect', 'circle', 'image'}


class Page(HTMLParser):
    """Checks nesting; gathers text, attributes, sections and data: URIs."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack, self.sections, self.uris, self.tags, self.words = [], [], [], {}, []
        self.texts = {}
        self.feed(text)
        self.close()
        assert not self.stack, f'not closed: {self.stack}'

    def handle_starttag(self, tag, attrs, closed=False):
        attrs = dict(attrs)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag == 'section':
            self.sections.append(attrs['id'])
        for name, value in attrs.items():
            assert not name.startswith('on'), f'{tag} has {name}'
            if name in ('src', 'href', 'action', 'data', 'srcset', 'poster'):
                assert value.startswith(('data:', '#')), f'{tag} {name}={value[:60]}'
                if value.startswith('data:'):
                    self.uris.append(value)
        if tag not in VOID and not closed:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG_EMPTY, tag
        self.handle_starttag(tag, attrs, True)

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1] == tag, f'</{tag}> inside {self.stack}'
        self.stack.pop()

    def handle_data(self, data):
        self.words.append(data)
        inside = self.stack[-1] if self.stack else ''
        self.texts.setdefault(inside, []).append(data)

    @property
    def text(self):
        return ' '.join(self.words)


def report(folder, *args, code=0):
    out = os.path.join(WORK, 'report.html')
    r = subprocess.run([TESSERA, 'report', *([folder] if folder else []), '-o', out, '--date', 'today',
                        '--json', *args],
                       capture_output=True, text=True)
    assert r.returncode == code, f'exit code {r.returncode}: {r.stderr}'
    if code:
        return None, r.stderr
    with open(out, encoding='utf-8') as f:
        text = f.read()
    page = Page(text)
    assert page.tags['script'] == 1 and page.tags['style'] == 1 and page.tags['html'] == 1
    assert not re.search(r'url\(|@import|https?://', text), 'something from outside'
    summary = json.loads(r.stdout)
    assert page.sections == summary['sections']
    assert summary['bytes'] == len(text.encode())
    return page, summary


def put(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode, data = ('wb', value) if isinstance(value, bytes) else ('w', value)
    if not isinstance(value, (str, bytes)):
        data = json.dumps(value)
    with open(path, mode) as f:
        f.write(data)
    return path


def fresh(name):
    folder = os.path.join(WORK, name)
    subprocess.run(['rm', '-rf', folder], check=True)
    os.makedirs(folder)
    return folder


def ppm(w, h, channels=3):
    pixels = bytes((x * 7 + y * 13 + c * 50) % 256 for y in range(h) for x in range(w)
                   for c in range(channels))
    return b'P%d %d %d 255\n' % (6 if channels == 3 else 5, w, h) + pixels


def npy(values, h, w):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (h, w)
    head += ' ' * (63 - (10 + len(head)) % 64) + '\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head.encode() + \
        struct.pack('<%df' % len(values), *values)


def sound(path):
    with wave.open(path, 'wb') as f:
        f.setparams((1, 2, 16000, 8000, 'NONE', ''))
        f.writeframes(b''.join(struct.pack('<h', int(9000 * math.sin(i / 10))) for i in range(8000)))


def value(v, half=0.01):
    return {'value': v, 'low': v - half, 'high': v + half}


def tokenizer(name='rgb'):
    return {'quality': {'psnr_db': 27.895, 'ssim': 0.8097}, 'metric': 'psnr_db', 'value': 27.895,
            'higher_is_better': True, 'codes_used': 1021, 'codebook_size': 1024, 'perplexity': 507.03,
            'bits_per_sample': 2560.0, 'baseline': 26.267, 'train_seconds': 78.6, 'kind': 'image',
            'modality': name, 'recipe': '00112233445566778899aabbccddeeff'}


def task(source, to, metric, higher, numbers):
    keys = ('model', 'no_input', 'wrong_input', 'ceiling')
    return {'from': source, 'to': to, 'metric': metric, 'higher_is_better': higher, 'samples': 64,
            **{k: value(v) for k, v in zip(keys, numbers)}}


def sections_follow_the_data():
    folder = fresh('sections')
    _, error = report(folder, code=1)
    assert 'nothing to report on' in error
    report(os.path.join(folder, 'no such folder'), code=1)

    put(folder + '/tokenizers/rgb.report.json', tokenizer())
    put(folder + '/tokenizers/rgb.recipe.yaml', 'tokenizer: {kind: image}\n')
    page, _ = report(folder)
    assert page.sections == ['tokenizers', 'provenance'], page.sections
    for text in ('27.9 dB', '26.3 dB', '▲ tokenizer better', '1,021 of 1,024', '99.7 %', '2,560',
                 '79 s', 'SSIM 0.810', 'kind: image', '00112233445566778899aabbccddeeff'):
        assert text in page.text, text

    put(folder + '/report.json', {'corpus': 'things', 'seconds': 507, 'tasks': [
        task(['rgb'], 'depth', 'absrel', False, (0.08, 0.32, 0.35, 0.03)),
        task(['rgb'], 'depth', 'delta1', True, (0.92, 0.915, 0.5, 0.98)),
        task(['caption', 'depth'], 'rgb', 'psnr_db', True, (9.5, 12, 4, 28))]})
    page, _ = report(folder)
    assert page.sections == ['tasks', 'tokenizers', 'provenance'], page.sections
    tasks = json.load(open(folder + '/report.json'))
    tasks['candidates'] = [{'from': ['rgb'], 'to': 'caption', 'candidates': 16, 'chance': 0.0625,
                            'accuracy': value(0.5), 'accuracy_gain': value(0.75)}]
    tasks['tasks'][1].update({'better_than_no_input': {'value': 0.005, 'low': 0.001, 'high': 0.01},
                              'malformed': {'model': 3}})
    for text in ('Tessera on things', '8 min 27 s', '▲ better: 75 % lower than with no input',
                 '0.0800', '0.0700 to 0.0900', '83 % of the way', '92.0 %',
                 '≈ not told apart from no input', '▲ better: 84 % higher than with wrong input',
                 '▼ worse: 21 % lower than with no input',
                 '▲ better: 2.4 times that with wrong input', '9.50 dB', 'caption + depth'):
        assert text in page.text, text
    put(folder + '/report.json', tasks)
    paired, _ = report(folder)
    for text in ('▲ better: 0.55 % higher than with no input', '3 of the model', '6.25 %', '75.0 %',
                 '49.0 to 51.0'):
        assert text in paired.text, text
    assert page.tags['article'] == 2 and page.texts['h3'].count('caption + depth ') == 1


def metrics(steps):
    for step in range(10, steps + 1, 10):
        yield json.dumps({'step': step, 'inputs': 10, 'targets': 10, 'lr': 1e-3, 'grad_norm': 0.5,
                          'loss': 5 - step / 1000, 'nll': {'rgb': 6 - step / 1000, 'depth': 5.0},
                          'bits_below_unigram': {'rgb': 1, 'depth': 0}}) + '\n'
        if step % 100 == 0:
            yield json.dumps({'step': step, 'validation': 'val', 'samples': 64, 'targets': 99,
                              'loss': 4.5, 'nll_per_token': 5.1, 'nll': {'rgb': 5.1, 'depth': 5.0},
                              'bits_below_unigram': {'rgb': 1.25, 'depth': 0.5}}) + '\n'


def curves_and_matrix():
    folder = fresh('curves')
    put(folder + '/model/metrics.jsonl', ''.join(metrics(1000)) + '{"step": 1010, "lo')
    put(folder + '/report.json', {'matrix': {
        'samples': 9, 'unit': 'nats', 'from': ['rgb', 'depth'], 'to': ['rgb', 'caption'],
        'cells': [{'from': 'depth', 'to': 'rgb', 'nats_per_sample': value(50, 3)},
                  {'from': 'rgb', 'to': 'caption', 'nats_per_sample': value(1, 3)}],
        'given_nothing': [{'to': 'rgb', 'nats_per_sample': value(200)},
                          {'to': 'caption', 'nats_per_sample': value(40)}]}})
    page, summary = report(folder)
    assert page.sections == ['matrix', 'training', 'provenance'], page.sections
    assert len(summary['notes']) == 1 and '1 line could not be read' in summary['notes'][0]
    for text in ('50.0', '25 %', '200', 'training, mean of 13', 'validation', 'learning rate',
                 'step 515', 'norm of gradients'):
        assert text in page.text, text
    assert 'unigram\n' not in page.text and 'speed' not in page.text
    assert page.tags['figure'] == 5  # loss, rate, norm, two modalities

    put(folder + '/model/timing.jsonl', ''.join(
        json.dumps({'step': s, 'tokens_per_second': 20000 + s}) + '\n' for s in range(10, 100, 10)))
    put(folder + '/model/unigrams.json', {'rgb': {'entropy_nats': 6.25, 'tokens': 9}})
    put(folder + '/model/report.json', {'steps': 1000, 'train_seconds': 412, 'inputs': 4e6,
                                        'targets': 5e6, 'parameters': {'blocks': 8e6,
                                                                       'embeddings': 4.3e6}})
    page, _ = report(folder)
    for text in ('validation ends 1.25 of 9.02 bits', 'unigram: 6.250', 'speed', '12.3 M',
                 '6 min 52 s', '1,000 steps, 9.00 M tokens'):
        assert text in page.text, text
    assert page.tags['figure'] == 6


def examples(folder):
    put(folder + '/x/rgb.ppm', ppm(16, 12))
    put(folder + '/x/label.pgm', ppm(16, 12, 1))
    put(folder + '/x/big.ppm', ppm(800, 20))
    put(folder + '/x/depth.npy', npy([1 + i / 10 for i in range(192)], 12, 16))
    put(folder + '/x/caption.txt', 'A red ball. ' + HOSTILE)
    put(folder + '/x/torn.ppm', ppm(16, 12)[:100])
    sound(folder + '/x/sound.wav')
    boxes = {'instances': [{'boxes': [0.1, 0.2, 0.5, 0.6], 'class_name': HOSTILE},
                           {'boxes': 'none'}]}
    return [
        {'from': ['rgb'], 'to': 'depth', 'key': HOSTILE, 'metric': HOSTILE, 'kinds': {'rgb': 'image'},
         'inputs': {'rgb': 'x/rgb.ppm'}, 'truth': 'x/depth.npy', 'model': 'x/depth.npy',
         'figures': {'model': 0.5}},
        {'from': ['rgb'], 'to': 'det', 'kinds': {'rgb': 'image', 'det': 'boxes'},
         'inputs': {'rgb': 'x/rgb.ppm'}, 'model': boxes, 'metric': 'iou',
         'figures': {'model': 0.25, 'no_input': 0}},
        {'from': 'audio', 'to': 'caption', 'inputs': {'audio': 'x/sound.wav'},
         'truth': 'x/caption.txt', 'model': 'x/torn.ppm', 'no_input': '../../etc/passwd',
         'wrong_input': '/etc/passwd'},
        {'from': 'caption', 'to': 'semseg', 'kinds': {'semseg': 'label'},
         'inputs': {'caption': 'x/caption.txt'}, 'truth': 'x/label.pgm', 'model': 'x/big.ppm'},
        {'from': HOSTILE, 'to': 'palette', 'inputs': {HOSTILE: {HOSTILE: HOSTILE, 'n': 12}},
         'model': {'colors': [[255, 0, 0], [0, 128, 255]]}},
        {'from': 7, 'to': 'metadata', 'inputs': 'no object', 'model': [1, {'a': None}]},
        'no object',
        {'from': ['rgb']},
    ]


def samples_and_strangers():
    folder = fresh('samples')
    put(folder + '/examples/examples.json', {'examples': examples(folder + '/examples')})
    put(folder + '/tokenizers/rgb.report.json', {**tokenizer(), 'kind': HOSTILE, 'metric': HOSTILE})
    put(folder + '/tokenizers/torn.report.json', '{"quality": ')
    put(folder + '/tokenizers/rgb.recipe.yaml', HOSTILE)
    put(folder + '/model/recipe.yaml', HOSTILE)
    put(folder + '/report.json', {'corpus': HOSTILE, 'tokenizers': {HOSTILE: {}, '../x': {'value': 'x'}},
                                  'tasks': [task(HOSTILE, HOSTILE, HOSTILE, True, (1, 2, 3, 4)), 5,
                                            {'to': 3}],
                                  'matrix': {'from': [HOSTILE], 'to': [HOSTILE], 'cells': [
                                      {'from': HOSTILE, 'to': HOSTILE}, 3]}})
    page, summary = report(folder, '--title', HOSTILE)
    assert page.sections == ['tasks', 'matrix', 'examples', 'tokenizers', 'provenance'], page.sections
    assert HOSTILE in page.texts['h1'] and HOSTILE in page.texts['title']
    for tag in ('blockquote', 'pre', 'text', 'th', 'h4'):
        assert any(HOSTILE in t for t in page.texts[tag]), tag
    assert page.text.count('alert(1)') >= 10
    # Two paths lead out, one picture is torn, one report is torn, metrics.jsonl is not there.
    assert sum('is not a path inside' in n for n in summary['notes']) == 2, summary['notes']
    assert sum('torn' in n for n in summary['notes']) == 2, summary['notes']
    assert 'root:' not in page.text
    sizes = []
    for uri in page.uris:
        kind, _, data = uri.partition(';base64,')
        data = base64.b64decode(data, validate=True)
        if kind == 'data:image/png':
            assert data[:8] == b'\x89PNG\r\n\x1a\n' and data.endswith(b'IEND\xaeB`\x82')
            sizes.append(struct.unpack('>II', data[16:24]))
        elif kind == 'data:audio/wav':
            assert data[:4] == b'RIFF' and len(data) == 44 + 16000, len(data)
            sizes.append('sound')
    assert sizes.count((16, 12)) == 6, sizes
    assert sizes.count((384, 9)) == 1 and sizes.count('sound') == 1, sizes
    for text in ('1.0 to 20 m', 'n', '12', 'cannot be shown', 'IoU of boxes 25.0 %',
                 'malformed, counts as the worst'):
        assert text in page.text, text
    again, _ = report(folder, '--title', HOSTILE, '--samples', '0')
    assert 'examples' not in again.sections


def parts_from_several_places():
    folder = fresh('parts')
    put(folder + '/run/metrics.jsonl', ''.join(metrics(50)))
    put(folder + '/t/rgb.report.json', tokenizer())
    judged = put(folder + '/judged.json', {'tasks': [task('rgb', 'rgb', 'ssim', True, (1, 2, 3, 4))]})
    put(folder + '/e/examples.json', {'examples': [{'from': 'a', 'to': 'b', 'model': {'x': 1}}]})
    options = ['--run', folder + '/run', '--tokenizers', folder + '/t', '--eval', judged,
               '--examples', folder + '/e']
    page, summary = report(None, *options)
    assert page.sections == ['tasks', 'examples', 'training', 'tokenizers', 'provenance']
    assert not summary['notes'] and 'today' in page.text
    with open(os.path.join(WORK, 'report.html'), 'rb') as f:
        first = f.read()
    report(None, *options)
    with open(os.path.join(WORK, 'report.html'), 'rb') as f:
        assert first == f.read(), 'the same data gave another page'
    for i in range(0, len(options), 2):
        _, error = report(None, *options[:i + 1], folder + '/none', *options[i + 2:], code=1)
        assert folder + '/none' in error, error
    put(judged, '[1')
    report(None, *options, code=1)


def codes_of_a_corpus(write_corpus):
    folder = fresh('codes')
    with open(os.devnull, 'w') as null:
        subprocess.run([write_corpus, folder + '/corpus'], check=True, stdout=null)
    page, _ = report(folder)
    assert page.sections == ['codes', 'provenance'], page.sections
    usage = json.loads(subprocess.run([TESSERA, 'inspect', folder + '/corpus', '--json'], check=True,
                                      capture_output=True, text=True).stdout)
    for m in usage['modalities']:
        if m.get('codes_used'):
            assert f"{m['codes_used']:,} of {m['codebook_size']:,} codes used" in page.text, m
    assert f"{usage['samples']:,}" in page.text and usage['id'] in page.text
    report(folder, '--corpus', folder + '/none', code=1)


def the_checker_notices():
    for bad in ('<p><b></p></b>', '<img src="http://x/y.png">', '<p onclick="x">', '<div>'):
        try:
            Page(bad)
        except AssertionError:
            continue
        raise SystemExit(f'not noticed: {bad}')


the_checker_notices()
sections_follow_the_data()
curves_and_matrix()
samples_and_strangers()
parts_from_several_places()
if len(sys.argv) > 3:
    codes_of_a_corpus(sys.argv[3])
print('reports are as they should be')
