// /metrics as Prometheus's own parser for Python reads it: what the parser refuses fails here.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

const reader = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
json.dump([dict(name=f.name, type=f.type, help=f.documentation, samples=[dict(name=s.name, labels=s.labels, value=s.value) for s in f.samples])
           for f in text_string_to_metric_families(sys.stdin.read())], sys.stdout)`;

const key = (name, labels) => `${name} ${JSON.stringify(Object.entries(labels).sort())}`;

/* A text of the format: its families, and `value(name, labels)` of one series (undefined: there is none). */
export function readMetrics(text) {
    const { status, stdout, stderr } = spawnSync('/usr/bin/python3', ['-c', reader], { input: text, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const families = JSON.parse(stdout);
    const series = new Map();
    for (const { samples } of families)
        for (const { name, labels, value } of samples) {
            assert.ok(!series.has(key(name, labels)), `${key(name, labels)} is there once`);
            series.set(key(name, labels), value);
        }
    return { families, series, value: (name, labels = {}) => series.get(key(name, labels)) };
}

/* A text that the parser is known to take, read at once: `value(name, labels)` as above. */
export function skimMetrics(text) {
    const series = new Map();
    for (const [, name, labels, value] of text.matchAll(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/gm)) {
        const pairs = [...(labels ?? '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, of]) => [label, of]);
        series.set(key(name, Object.fromEntries(pairs)), Number(value));
    }
    return (name, labels = {}) => series.get(key(name, labels));
}

/* The lines `# TYPE`, in their order. */
export const typed = text => [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]);

export async function scrape(weir) {
    const reply = await fetch(weir.admin('/metrics'));
    assert.equal(reply.status, 200);
    assert.equal(reply.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    const text = await reply.text();
    return { text, ...readMetrics(text) };
}
