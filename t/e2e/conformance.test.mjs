// The official conformance runner, against a server and against the same server through weir, check by check: whatever
// comes out differently has a name and a reason here, and what stopped being different is taken off the list.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { conform } from './lib/conformance.mjs';
import { conformance, everything, setUp, waysThroughWeir } from './lib/world.mjs';

const revisions = ['2025-06-18', '2025-11-25', '2026-07-28'];
const servers = { conformance, everything };

/* SERVER, REVISION, WAY → check → why it may differ from the direct run. */
const differences = {};

for (const [name, commands] of Object.entries(servers))
    describe(name, () => {
        const world = setUp(commands);

        for (const revision of revisions) {
            let direct;
            test(`${name}, ${revision}, direct: the_runner_finishes`, async () => {
                ({ checks: direct } = await conform(world.url('direct'), revision));
                const failed = [...direct].filter(([, { status }]) => status === 'FAILURE');
                if (name === 'conformance') assert.deepEqual(failed, []);
                assert.ok([...direct.values()].some(({ status }) => status === 'SUCCESS'));
            });

            for (const way of waysThroughWeir)
                test(`${name}, ${revision}, ${way}: every_check_comes_out_as_directly`, async () => {
                    const { checks } = await conform(world.url(way), revision);
                    const found = {};
                    for (const check of new Set([...direct.keys(), ...checks.keys()])) {
                        const [before, now] = [direct.get(check), checks.get(check)];
                        if (before?.status === now?.status) continue;
                        found[check] = `${before?.status} → ${now?.status}: ${now?.errorMessage ?? before?.errorMessage ?? ''}`;
                    }
                    const named = differences[`${name}, ${revision}, ${way}`] ?? {};
                    const unnamed = Object.fromEntries(Object.entries(found).filter(([check]) => !(check in named)));
                    assert.deepEqual(unnamed, {}, 'these differ and have no name');
                    assert.deepEqual(Object.keys(named).filter(check => !(check in found)), [], 'these no longer differ'); // prettier-ignore
                });
        }
    });
