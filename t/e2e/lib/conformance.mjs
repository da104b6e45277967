// Runs the official conformance runner against a URL and reads back what it checked.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from './process.mjs';
import { here } from './weir.mjs';
import { node } from './world.mjs';

const runner = join(here, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');

/* Every check the runner makes of `url` at one protocol revision: a map from `scenario / check (n)` to its status. A scenario
 * may make a check several times; `n` counts them in their order. */
export async function conform(url, revision) {
    const folder = mkdtempSync(join(tmpdir(), 'weir-conformance-'));
    try {
        const task = start(node, [runner, 'server', '--url', url, '--suite', 'all', '--spec-version', revision, '-o', folder]);
        await task.ended;
        if (!/=== SUMMARY ===/.test(task.output)) throw new Error(`the conformance runner did not finish:\n${task.output}`);
        return { checks: collect(folder), output: task.output };
    } finally {
        rmSync(folder, { recursive: true });
    }
}

function collect(folder) {
    const checks = new Map();
    for (const entry of readdirSync(folder, { recursive: true })) {
        if (!entry.endsWith('checks.json')) continue;
        const scenario = entry.match(/server-(.+?)-\d{4}-\d\d-\d\dT/)[1];
        for (const { id, status, errorMessage } of JSON.parse(readFileSync(join(folder, entry), 'utf8'))) {
            let key;
            for (let n = 1; checks.has((key = `${scenario} / ${id}${n > 1 ? ` (${n})` : ''}`)); n++);
            checks.set(key, { status, errorMessage });
        }
    }
    return checks;
}
