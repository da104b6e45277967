// The recording server (servers/recorder.mjs) at the end of every way, and what it wrote down.
import { after } from 'node:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './process.mjs';
import { here } from './weir.mjs';
import { node, setUp } from './world.mjs';

/* As setUp(), with `world.told(way)`: all that the servers of that way were told, oldest first; and
 * `world.hears(way, matches)`: waits for the first such entry. */
export function setUpRecorder() {
    const folder = mkdtempSync(join(tmpdir(), 'weir-recorder-'));
    const command = transport => {
        const file = join(folder, transport);
        writeFileSync(file, '');
        return [node, join(here, 'servers/recorder.mjs'), file, transport];
    };
    const world = setUp({ http: command('http'), stdio: command('stdio') });
    after(() => rmSync(folder, { recursive: true }));

    const told = way => {
        const lines = readFileSync(join(folder, way === 'stdio' ? 'stdio' : 'http'), 'utf8').split('\n');
        return lines.slice(0, -1).map(line => JSON.parse(line));
    };
    const hears = (way, matches) =>
        until(
            () => told(way).find(matches),
            () => `the server hears ${matches}; it heard ${JSON.stringify(told(way).slice(-10))}`
        );
    return Object.assign(world, { told, hears });
}
