// Servers on streams that talk nonsense, and servers that are not there: every client gets its own answer or an error of the table, the
// log says what was wrong, and whoever comes next is served.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Moody, call, shown, startTeam } from '../e2e/lib/moody.mjs';
import { until } from '../e2e/lib/process.mjs';
import { rpc } from '../e2e/lib/raw.mjs';
import { Streamer } from '../e2e/lib/streams.mjs';
import { startWeir } from '../e2e/lib/weir.mjs';
import { demo } from '../e2e/lib/world.mjs';

const makers = { http: () => new Moody(), tcp: () => new Streamer('tcp'), length: () => new Streamer('length'), ws: () => new Streamer('ws') };

async function scene(kind, count, pool, play) {
    const servers = [];
    for (let i = 0; i < count; i++) servers.push(await makers[kind]().start());
    let weir;
    try {
        weir = await startTeam(servers, { chain: [{ pool: { min: 0, max: 1, health_check: 0, ...pool } }] });
        await play({ weir, servers });
    } finally {
        await weir?.stop();
        await Promise.all(servers.map(server => server.stop()));
    }
}

const said = (weir, line) =>
    until(
        () => line.test(weir.stderr()),
        () => `the log says ${line}:\n${weir.stderr()}`
    );

async function isServed(weir) {
    const { status, result } = await call(weir);
    assert.equal(status, 200);
    assert.ok(result);
}

/* [what a server does, how, whom it is possible for, what the client gets, what the log says] */
const nobody = /skipped an answer to a request that nobody waits for/;
for (const [what, mood, kinds, [status, reason], line] of [
    ['answers_an_id_nobody_asked_for', 'stranger', ['tcp', 'length', 'ws'], [200], /nobody waits for \(id 987654\)[^]*nobody waits for \(id "its own"\)/],
    ['answers_twice', 'twice', ['tcp', 'length', 'ws'], [200], nobody],
    ['says_what_is_no_payload', 'garbled', ['length'], [502, 'bad_reply'], /a frame is broken: [^]*502 bad_reply: .*what it sends is no frame/],
    ['says_what_is_no_message', 'garbled', ['tcp', 'ws'], [200], /skipped what is no JSON-RPC message: "no message"/],
    ['closes_within_a_frame', 'half', ['tcp', 'length'], [502, 'server_died'], /502 server_died: .*the server closed the connection/],
    ['announces_four_gibibytes', 'giant', ['length'], [502, 'bad_reply'], /a frame is broken: .*4294967295/],
    ['closes_instead_of_answering', 'dying', ['tcp', 'length', 'ws'], [502, 'server_died'], /502 server_died/]
])
    for (const kind of kinds)
        test(`a_server_over_${kind}_that_${what}`, () =>
            scene(kind, 1, {}, async ({ weir, servers: [server] }) => {
                await isServed(weir); // its era is known from now on
                const got = await call(weir, { name: mood });
                assert.deepEqual([got.status, got.reason], [status, reason]);
                if (status === 200) assert.equal(got.result.resultType, 'complete');
                await said(weir, line);
                for (let i = 0; i < 3; i++) await isServed(weir);
                assert.equal(server.calls, 5, 'each was sent once');
                const { in_flight } = (await shown(weir, 'pool')).servers[server.name];
                assert.equal(in_flight, 0);
            }));

for (const kind of Object.keys(makers))
    test(`a_pool_of_dead_servers_over_${kind}_says_so_to_everybody_and_serves_when_one_is_back`, () =>
        scene(kind, 3, { max: 4 }, async ({ weir, servers }) => {
            await Promise.all(servers.map(server => server.stop()));
            for (const { status, reason, error } of await Promise.all(Array.from({ length: 30 }, () => call(weir)))) {
                assert.deepEqual([status, reason], [502, 'connect_failed']);
                assert.match(error.message, /pool: no link to team can be opened: .*(refused|ECONNREFUSED)/);
            }
            await said(weir, /502 connect_failed: pool: no link to team can be opened: .*refused/);
            assert.equal((await shown(weir, 'pool')).waiting, 0);
            await servers[1].again();
            await until(async () => (await call(weir)).status === 200, 'one is back');
            await Promise.all(servers.filter((_, i) => i !== 1).map(server => server.again()));
        }));

/* ---- clients ---- */

const listeners = ['ndjson', 'length'].map(framing => `  ${framing}: { transport: tcp, framing: ${framing}, listen: "127.0.0.1:0", max_message: 64KiB, routes: [{ path: /, upstream: demo }] }`);

async function withDemo(play) {
    const weir = await startWeir(`workers: 1
log: { level: info, file: stderr }
modules: [tcp, stdio, pool]
listeners:
${listeners.join('\n')}
upstreams: { demo: ${JSON.stringify({ transport: 'stdio', command: demo.stdio, chain: ['pool'] })} }
`);
    try {
        await play(weir);
    } finally {
        await weir.stop();
    }
}

/* A client's connection: what was said to it, and whether it is over. */
function visit(weir, listener) {
    const socket = connect(weir.port(listener), '127.0.0.1');
    const client = { socket, text: '', isOver: false };
    socket.on('data', bytes => (client.text += bytes.toString('latin1')));
    socket.on('error', () => {}).on('close', () => (client.isOver = true));
    return client;
}

const framed = text => Buffer.concat([Buffer.from([0, 0, 0, Buffer.byteLength(text)]), Buffer.from(text)]);
const list = rpc('ping', undefined, 7);
const hello = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }, 'hello');

for (const [what, listener, bytes, line] of [
    ['announces_four_gibibytes', 'length', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7b]), /4294967295/],
    ['announces_one_byte_too_many', 'length', Buffer.from([0, 1, 0, 1, 0x7b]), /65537/]
])
    test(`a_client_over_tcp_that_${what}_is_left_at_once`, () =>
        withDemo(async weir => {
            const bad = visit(weir, listener);
            bad.socket.write(bytes);
            await until(() => bad.isOver, 'it is left');
            await said(weir, line);
            const good = visit(weir, listener);
            good.socket.write(framed(hello));
            await until(() => /"id":"hello"/.test(good.text), 'others are served');
            good.socket.destroy();
        }));

for (const [listener, frame] of [
    ['ndjson', text => `${text}\n`],
    ['length', framed]
])
    test(`half_a_frame_over_${listener}_is_waited_for_and_dropped_with_its_client`, () =>
        withDemo(async weir => {
            const whole = Buffer.from(frame(hello));
            const slow = visit(weir, listener);
            slow.socket.write(whole.subarray(0, 50));
            const quick = visit(weir, listener);
            quick.socket.write(frame(hello));
            await until(() => /"id":"hello"/.test(quick.text), 'others are served meanwhile');
            slow.socket.write(whole.subarray(50));
            await until(() => /"id":"hello"/.test(slow.text), 'the rest has come');
            quick.socket.end(Buffer.from(frame(list)).subarray(0, 9));
            await until(() => quick.isOver, 'weir closes too');
            assert.doesNotMatch(quick.text, /"id":7/);
            slow.socket.write(frame(list));
            await until(() => /"id":7/.test(slow.text), 'others are served after');
            slow.socket.destroy();
        }));
