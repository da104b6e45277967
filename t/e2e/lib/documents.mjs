// What the tree tells people to write: the fenced blocks of README.md, and the files of conf/.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repo } from './weir.mjs';

export const readme = readFileSync(join(repo, 'README.md'), 'utf8');

/* The fenced blocks of README.md in that language, in order. */
export const blocks = language => [...readme.matchAll(new RegExp('^```' + language + '\\n([^]*?)^```$', 'gm'))].map(([, text]) => text);

/* The files of conf/ by name. What `weir run` and `weir connect` fill in is filled in. */
export const configurations = Object.fromEntries(
    readdirSync(join(repo, 'conf'))
        .filter(name => name.endsWith('.yaml'))
        .map(name => [name, fill(readFileSync(join(repo, 'conf', name), 'utf8'))])
);

function fill(text) {
    const words = { LISTEN: '127.0.0.1:8080', PATH: '/mcp', COMMAND: ['build/weir-demo'], URL: 'http://127.0.0.1:8080/mcp' };
    return text.replace(/@([A-Z]+)@/g, (_, word) => JSON.stringify(words[word]));
}

/* A text with pieces of it replaced: [from, to], each of which must stand in it; a string is replaced where it stands first. */
export function edited(text, ...pairs) {
    for (const [from, to] of pairs) {
        const after = text.replace(from, () => to);
        assert.notEqual(after, text, `${from} stands in\n${text}`);
        text = after;
    }
    return text;
}
