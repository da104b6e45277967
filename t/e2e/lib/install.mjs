// What `make install` puts on a machine, in a folder of its own.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './process.mjs';
import { repo } from './weir.mjs';

/* Installs the tree as it is. `usr` is where PREFIX went, `weir` the program. */
export async function install() {
    const root = mkdtempSync(join(tmpdir(), 'weir-root-'));
    const { MAKEFLAGS, MAKELEVEL, MFLAGS, ...env } = process.env; // this make is nobody's child
    const made = await run('make', ['--silent', 'install', `DESTDIR=${root}`, 'prefix=/usr/local', 'sysconfdir=/etc'], { cwd: repo, env });
    assert.equal(made.code, 0, made.output);
    const usr = join(root, 'usr/local');
    return { root, usr, weir: join(usr, 'bin/weir'), remove: () => rmSync(root, { recursive: true }) };
}
