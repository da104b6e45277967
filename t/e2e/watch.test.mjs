// `weir status` as people see it: one table, and with --watch one that is drawn again and again.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Moody, call, startTeam } from './lib/moody.mjs';
import { run, start, until } from './lib/process.mjs';
import { openSession, rpc } from './lib/raw.mjs';
import { startOnTerminal } from './lib/terminal.mjs';
import { binary, freePort } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

const chain = [{ breaker: { failure_threshold: 2 } }, { pool: { min: 0, max: 4 } }];
let servers, weir, file;
before(async () => {
    servers = [await new Moody().start(), await new Moody().start()];
    const kept = { transport: 'stdio', command: demo.stdio, chain: [{ pool: { min: 0 } }, { batch: { max_delay: 0 } }] };
    weir = await startTeam(servers, { chain, modules: ['batch'], upstreams: { kept } });
    file = `${weir.folder}/asked.yaml`;
    writeFileSync(file, readFileSync(weir.file, 'utf8').replace('"127.0.0.1:0"', JSON.stringify(new URL(weir.admin('/')).host)));
    servers[1].mood = 'failing';
    for (let i = 0; i < 8; i++) await call(weir);
    const session = await openSession(weir.url('edge', '/kept'));
    await session.post(rpc('ping', undefined, 1));
    await call(weir, { path: '/team?no' });
});
after(async () => {
    await weir?.stop();
    await Promise.all(servers.map(server => server.stop()));
});

/* A table's lines by their first word, each a map from titles to cells. */
function read(lines) {
    const from = lines.findIndex(line => line.startsWith('UPSTREAM'));
    assert.ok(from >= 0, lines.join('\n'));
    const [, ...titles] = lines[from].trim().split(/\s+/);
    const rows = lines.slice(from + 1).map(line => line.trim().replace(' ill', '-ill').split(/ +/));
    return Object.fromEntries(rows.map(([name, ...cells]) => [name, Object.fromEntries(titles.map((title, i) => [title, cells[i]]))]));
}
const time = /^\d+(\.\d)?(us|ms|s)$/;

test('status: a_table_has_a_line_for_each_upstream_and_each_server', async () => {
    const { code, stdout, stderr } = await run(binary, ['status', '-c', file]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    const [head, ...lines] = stdout.trimEnd().split('\n');
    assert.match(head, /^weir \d+\.\d+\.\d+, configuration 1, 0 clients$/);
    const rows = read(lines);
    const [good, bad] = servers.map(({ name }) => rows[name]);
    assert.deepEqual(Object.keys(rows), ['team', servers[0].name, servers[1].name, 'kept']);
    for (const row of [rows.team, good, bad, rows.kept]) {
        for (const title of ['P50', 'P99']) {
            assert.match(row[title], time);
            delete row[title];
        }
    }
    const health = is => ({ HEALTH: is.HEALTH, RATIO: '-', FLIGHT: '0' });
    assert.ok(good.HEALTH > 0.5 && good.HEALTH <= 1);
    assert.deepEqual(good, { LINKS: '0/1', WAIT: '-', CIRCUIT: 'closed', MESSAGES: '7', FAILED: '0', ...health(good) });
    assert.deepEqual(bad, { LINKS: '0/1', WAIT: '-', CIRCUIT: 'open', MESSAGES: '2', FAILED: '2', ...health(bad), HEALTH: '0.70' });
    assert.deepEqual(rows.team, { LINKS: '0/2', WAIT: '0', CIRCUIT: '1/2-ill', MESSAGES: '9', FAILED: '0', ...health(rows.team), HEALTH: '0.70' });
    assert.deepEqual(rows.kept, { LINKS: '1/1', WAIT: '0', CIRCUIT: '-', MESSAGES: '3', FAILED: '0', ...health(rows.kept), RATIO: '1.00' });
});

test('status: a_server_that_no_link_reaches_has_no_score', async () => {
    const gone = await new Moody().start();
    const lonely = await startTeam([gone], { chain: [{ pool: { min: 0 } }] });
    try {
        await gone.stop();
        await call(lonely);
        const at = `${lonely.folder}/asked.yaml`;
        writeFileSync(at, readFileSync(lonely.file, 'utf8').replace('"127.0.0.1:0"', JSON.stringify(new URL(lonely.admin('/')).host)));
        const { stdout } = await run(binary, ['status', '-c', at]);
        const { team } = read(stdout.trimEnd().split('\n'));
        assert.deepEqual([team.LINKS, team.HEALTH, team.FAILED], ['0/0', '-', '1']);
    } finally {
        await lonely.stop();
    }
});

test('status: json_is_all_that_weir_says_of_itself', async () => {
    const { code, stdout } = await run(binary, ['status', '--json', '-c', file]);
    assert.equal(code, 0);
    assert.deepEqual(Object.keys(JSON.parse(stdout)), Object.keys(await weir.status()));
});

test('watch: not_on_a_terminal_tables_follow_each_other_until_somebody_says_stop', async () => {
    const task = start(binary, ['status', '--watch', '0.05', '-c', file]);
    await until(() => task.stdout.split('\n\n').length > 4, () => `four tables: ${task.output}`);
    task.child.kill('SIGINT');
    assert.deepEqual(await task.ended, { code: 0, signal: null });
    assert.doesNotMatch(task.stdout, /\x1b/); // eslint-disable-line no-control-regex
    const [first, second] = task.stdout.split('\n\n').slice(0, -1).map(table => read(table.split('\n')));
    assert.ok('MESSAGES' in first.kept && 'MSG/S' in second.kept);
    assert.equal(first.kept.MESSAGES, '3');
    assert.deepEqual([second.kept['MSG/S'], second.kept.P50], ['0', '-'], 'nothing came between two looks');
});

test('watch: on_a_terminal_it_is_drawn_in_place_and_leaves_the_terminal_as_it_was', async () => {
    const task = startOnTerminal([binary, 'status', '--watch=0.05', '-c', file]);
    await task.shows(lines => lines[1]?.includes('MSG/S'), 'the second look');
    assert.ok(task.screen.isOther && !task.screen.hasCursor);
    assert.equal(task.lines().length, 6, 'one table, and nothing of those before');
    servers[0].mood = 'held';
    const held = [call(weir), call(weir)];
    await until(() => servers[0].held.length === 2, 'both are at the server');
    await task.shows(lines => read(lines)[servers[0].name]?.LINKS === '2/2', 'links in use');
    assert.match(task.lines()[0], /2 clients$/);
    servers[0].release();
    await Promise.all(held);
    await task.shows(lines => read(lines)[servers[0].name]?.LINKS === '0/2', 'and given back');
    servers[0].mood = 'well';
    let isOver = false;
    const load = (async () => { while (!isOver) await call(weir); })(); // prettier-ignore
    await task.shows(lines => Number(read(lines)[servers[0].name]?.['MSG/S']) > 0 && time.test(read(lines)[servers[0].name].P99), 'messages come');
    isOver = true;
    await load;
    await task.shows(lines => read(lines)[servers[0].name]?.['MSG/S'] === '0', 'and do not');
    task.interrupt();
    assert.equal(await task.ended, 0);
    assert.ok(!task.screen.isOther && task.screen.hasCursor);
    assert.match(task.said, /\x1b\[\?1049l$/); // eslint-disable-line no-control-regex
});

test('watch: it_follows_the_size_of_the_window', async () => {
    const task = startOnTerminal([binary, 'status', '--watch', '3600', '-c', file], { rows: 24, columns: 120 });
    await task.shows(lines => lines[1]?.endsWith('FAILED') && lines.length === 6, 'all of it');
    task.resize(24, 50); // no look is due for an hour: the window alone makes it draw
    await task.shows(lines => lines[1]?.endsWith('CIRCUIT') && lines.every(line => line.length <= 50), 'fewer columns');
    task.resize(5, 50);
    await task.shows(lines => lines.length === 4 && lines[3] === '... and 3 more', 'fewer lines');
    task.resize(24, 120);
    await task.shows(lines => lines[1]?.endsWith('FAILED') && lines.length === 6, 'all of it again');
    task.interrupt();
    assert.equal(await task.ended, 0);
});

test('watch: it_waits_for_a_weir_that_has_gone_and_says_so', async () => {
    const port = await freePort();
    const text = readFileSync(weir.file, 'utf8').replace('"127.0.0.1:0"', `"127.0.0.1:${port}"`);
    const other = `${weir.folder}/other.yaml`;
    writeFileSync(other, text);
    const nobody = await run(binary, ['status', '--watch', '-c', other]);
    assert.deepEqual([nobody.code, nobody.stdout], [1, '']);
    assert.equal(nobody.stderr, `weir: cannot connect to admin: 127.0.0.1:${port}: Connection refused; does weir run?\n`);
    let served = start(binary, ['-c', other]);
    await served.seen(/ready:/);
    const task = startOnTerminal([binary, 'status', '--watch', '0.05', '-c', other]);
    await task.shows(lines => lines[1]?.startsWith('UPSTREAM'), 'the table');
    await served.stop();
    await task.shows(lines => lines.length === 1 && lines[0].startsWith(`weir: cannot connect to admin: 127.0.0.1:${port}: Connection refused`), 'why there is none');
    served = start(binary, ['-c', other]);
    await task.shows(lines => lines[1]?.startsWith('UPSTREAM'), 'the table of the next weir');
    task.interrupt();
    assert.equal(await task.ended, 0);
    await served.stop();
});

test('status: without_an_admin_address_it_says_what_to_add', async () => {
    const without = `${weir.folder}/without.yaml`;
    writeFileSync(without, readFileSync(weir.file, 'utf8').replace(/^admin:.*\n/m, ''));
    for (const more of [[], ['--watch'], ['--json']]) {
        const { code, stdout, stderr } = await run(binary, ['status', ...more, '-c', without]);
        assert.deepEqual([code, stdout], [1, '']);
        assert.equal(stderr, `weir: ${without} has no admin: address, where the running weir would answer; add admin: { listen: 127.0.0.1:9901 }\n`);
    }
});
