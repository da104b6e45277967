// The official conformance runner, against a server and against the same server through weir, and through an edge and an inner weir with
// one link between them, check by check: whatever comes out differently has a name and a reason here, and what stopped being different is taken off the list.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { conform } from './lib/conformance.mjs';
import { conformance, everything, setUp, waysThroughWeir } from './lib/world.mjs';

const revisions = ['2025-06-18', '2025-11-25', '2026-07-28'];
const servers = { conformance, everything };

/* SERVER, REVISION, WAY → scenario → why its checks may differ from the direct run. A check that passes through weir and not
 * directly is no difference. */
const asJson = {
    'server-sse-multiple-streams': 'a stdio server says one message, and one message is answered as JSON, without a stream',
    'server-sse-polling': 'a stdio server has no stream that it could close for the client to come back'
};
const differences = {
    'conformance, 2025-11-25, stdio': asJson,
    'everything, 2025-11-25, stdio': asJson,
    'everything, 2026-07-28, stdio': {
        'server-stateless': 'directly the check of an id fails once for each reply, through weir it passes, once for all of them'
    }
};
const differencesOf = (name, revision, way) => differences[`${name}, ${revision}, ${way.replace(', pair', '')}`] ?? {};
const scenarioOf = check => check.split(' / ')[0];

for (const [name, commands] of Object.entries(servers))
    describe(name, () => {
        const world = setUp(commands, { withPair: true });

        for (const revision of revisions) {
            let direct;
            test(`${name}, ${revision}, direct: the_runner_finishes`, async () => {
                ({ checks: direct } = await conform(world.url('direct'), revision));
                const failed = [...direct].filter(([, { status }]) => status === 'FAILURE');
                if (name === 'conformance') assert.deepEqual(failed, []);
                assert.ok([...direct.values()].some(({ status }) => status === 'SUCCESS'));
            });

            for (const way of waysThroughWeir.flatMap(way => [way, `${way}, pair`]))
                test(`${name}, ${revision}, ${way}: every_check_comes_out_as_directly`, async () => {
                    const { checks } = await conform(world.url(way), revision);
                    const found = {};
                    for (const check of new Set([...direct.keys(), ...checks.keys()])) {
                        const [before, now] = [direct.get(check), checks.get(check)];
                        if (before?.status === now?.status || now?.status === 'SUCCESS') continue; // the same, or more than before
                        found[check] = `${before?.status} → ${now?.status}: ${now?.errorMessage ?? before?.errorMessage ?? ''}`;
                    }
                    const named = differencesOf(name, revision, way);
                    const unnamed = Object.fromEntries(Object.entries(found).filter(([check]) => !(scenarioOf(check) in named)));
                    assert.deepEqual(unnamed, {}, 'these differ and have no name');
                    const differing = new Set(Object.keys(found).map(scenarioOf));
                    assert.deepEqual(Object.keys(named).filter(scenario => !differing.has(scenario)), [], 'these no longer differ'); // prettier-ignore
                });
        }
    });
