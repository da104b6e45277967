// Too little of something: descriptors, room on a disk, connections. What is there goes on, and the log says what is short.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { call, Connection, demo, inHouse, plan, request, rpc, session, start, stdio, textOf, until, weir } from './lib/house.mjs'; // prettier-ignore

let folder;
before(() => {
    folder = mkdtempSync(join(tmpdir(), 'weir-limits-'));
});
after(() => rmSync(folder, { recursive: true }));

/* weir with at most so many open files. */
function limited(files) {
    const program = join(folder, `weir-${files}`);
    writeFileSync(program, `#!/bin/sh\nulimit -n ${files} && exec '${weir}' "$@"\n`);
    chmodSync(program, 0o755);
    return program;
}

/* Clients who come and stay, until one is not served; all who were. */
async function crowded(url, many) {
    const served = [];
    const coming = Array.from({ length: many }, async () => {
        const connection = new Connection(url).send('POST', {}, '{}');
        const head = await connection.head();
        served.push(connection);
        return [connection, head, await connection.body()];
    });
    return { served, all: () => Promise.all(coming) };
}

for (const [what, options, changes, says] of [
    ['descriptors', () => ({ program: limited(40) }), {}, 'listener edge: takes no new clients for the moment: too many open files; raise weir.s limit'],
    ['worker_connections', () => ({}), { worker_connections: 20 }, 'listener edge: takes no new clients for the moment: .* worker_connections']
])
    test(`clients_beyond_its_${what}_wait_until_others_have_gone`, () =>
        inHouse(
            plan({ a: stdio(demo) }, { workers: 1, ...changes }),
            async house => {
                const { served, all } = await crowded(house.url('a'), 60);
                await house.log(says);
                await until(() => served.length >= 10, 'those who found room are served');
                const waiting = 60 - served.length;
                assert.ok(waiting > 0, `${waiting} wait`);
                await until(() => {
                    for (const connection of served) connection.close();
                    return served.length === 60;
                }, 'everybody is served in the end');
                await all();
                assert.ok(house.logged(says).length <= 3, 'it is not said again and again');
                const one = await session(house.url('a'));
                assert.equal(textOf(await call(one, 'echo', { message: 'here' })), 'here');
            },
            options()
        )());

test('a_weir_that_may_open_next_to_nothing_says_so_and_ends', async () => {
    const file = join(folder, 'tiny.yaml');
    writeFileSync(file, JSON.stringify(plan({ a: stdio(demo) })));
    for (const files of [6, 9, 12]) {
        const task = start(limited(files), ['-c', file]);
        const { code } = await task.ended;
        assert.equal(code, 1);
        assert.match(task.stderr, /Too many open files|cannot open shared object file/);
    }
});

test('servers_have_the_limit_of_open_files_that_weir_was_started_with', () => {
    const program = join(folder, 'weir-soft');
    writeFileSync(program, `#!/bin/sh\nulimit -Sn 300 && ulimit -Hn 900 && exec '${weir}' "$@"\n`);
    chmodSync(program, 0o755);
    return inHouse(
        plan({ a: stdio(demo) }),
        async house => {
            await session(house.url('a'));
            const all = ({ pid }) => readFileSync(`/proc/${pid}/limits`, 'utf8');
            for (const one of [...house.workers(), house.keeper()]) assert.match(all(one), /^Max open files +900 +900 /m);
            for (const one of house.servers()) assert.match(all(one), /^Max open files +300 +900 /m);
            assert.equal(house.servers().length, 1);
        },
        { program }
    )();
});

for (const file of ['/dev/full'])
    test(
        'an_access_log_on_a_full_disk_costs_its_lines_and_one_line_of_the_log',
        inHouse(plan({ a: stdio(demo) }, { workers: 1, access_log: { file, flush: '5ms', buffer: '4KiB' } }), async house => {
            const one = await session(house.url('a'));
            for (let i = 0; i < 50; i++) assert.equal(textOf(await call(one, 'echo', { message: `${i}` })), `${i}`);
            await house.log('access log: cannot write to /dev/full: No space left on device');
            for (let i = 0; i < 50; i++) assert.equal(textOf(await call(one, 'echo', { message: `${i}` })), `${i}`);
            assert.equal(house.logged('/dev/full').length, 1);
        })
    );

test(
    'a_log_on_a_full_disk_costs_its_lines_only',
    inHouse(plan({ a: stdio(demo) }), async house => {
        const one = await session(house.url('a'));
        house.write(plan({ a: stdio(demo) }, { log: { level: 'debug', file: '/dev/full' } }));
        const old = house.workers();
        house.signal('SIGHUP');
        await until(() => house.workers().every(({ pid }) => old.every(worker => worker.pid !== pid)), 'the reload is over');
        for (let i = 0; i < 20; i++) assert.equal(textOf(await call(one, 'echo', { message: `${i}` })), `${i}`);
        assert.equal((await request(one.url, 'POST', { 'mcp-session-id': 'x' }, rpc('ping', undefined, 1))).status, 404);
    })
);
