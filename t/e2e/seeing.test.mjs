// What an operator sees: the access log, the error log, /healthz, /readyz, /status and `weir status`, against exchanges of which
// everything is known.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Moody, call, startTeam } from './lib/moody.mjs';
import { descendants, isAlive, look, run, until } from './lib/process.mjs';
import { Connection, openSession, request, rpc } from './lib/raw.mjs';
import { binary, freePort, here, renew, startWeir } from './lib/weir.mjs';
import { node, startServer, waysThroughWeir } from './lib/world.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-seeing-'));
const recorder = transport => [node, join(here, 'servers/recorder.mjs'), join(folder, transport), transport];
const stdio = (more, pool = {}) => ({ transport: 'stdio', command: recorder('stdio'), chain: [{ pool }], ...more });
const http = (url, more, pool = {}) => ({ transport: 'http', servers: [{ url }], chain: [{ pool: { min: 0, ...pool } }], ...more });

/* A weir of one worker that logs each exchange at once, and all it has logged so far. */
async function watched(upstreams, more = '', ...modules) {
    const access = join(folder, `access-${Object.keys(upstreams).join('-')}`);
    rmSync(access, { force: true });
    const port = await freePort();
    const weir = await startWeir(`workers: 1
log: { level: info, file: stderr }
access_log: { file: ${access}, flush: 1ms }
admin: { listen: "127.0.0.1:${port}" }
modules: [${['http', 'stdio', 'pool', ...modules]}]
${more}
listeners:
  edge:
    transport: http
    listen: "127.0.0.1:0"
    allowed_origins: [https://app.example]
    routes: [${Object.keys(upstreams).map(name => `{ path: /${name}, upstream: ${name} }`)}]
upstreams: ${JSON.stringify(upstreams)}
`);
    const lines = () => readFileSync(access, 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line));
    const line = matches => until(() => lines().find(matches), () => `a line ${matches}; there are ${JSON.stringify(lines())}`);
    return { ...weir, lines, line, at: name => weir.url('edge', `/${name}`) };
}

/* Sends bytes, and returns all that came back until the other side closed. */
const exchange = (url, head, body) =>
    new Promise((resolve, reject) => {
        const { port, pathname, host } = new URL(url);
        const pieces = [];
        const socket = net.connect(port, '127.0.0.1');
        socket.on('data', piece => pieces.push(piece)).on('error', reject).on('close', () => resolve(Buffer.concat(pieces)));
        const fields = { host, connection: 'close', 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...head };
        const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join('');
        socket.write(`POST ${pathname} HTTP/1.1\r\n${lines}\r\n${body}`);
    });

const count = ({ buckets }) => Object.values(buckets).reduce((total, one) => total + one, 0);

/* The histogram is that of these lines: in each bucket are those that are not longer than its bound, and longer than the one before. */
function timed({ p50_us, p99_us, sum_us, buckets }, lines) {
    const times = lines.filter(({ reason }) => !reason).map(({ us }) => us).sort((a, b) => a - b);
    assert.equal(sum_us, times.reduce((total, us) => total + us, 0));
    let seen = 0;
    for (const [bound, held] of Object.entries(buckets)) {
        const here = times.slice(seen, (seen += held));
        assert.ok(here.every(us => us <= bound && us > bound / 1.25 - 1), `${here} up to ${bound}`);
    }
    assert.equal(seen, times.length);
    for (const [is, part] of [[p50_us, 0.5], [p99_us, 0.99]]) {
        const should = times[Math.ceil(part * times.length) - 1];
        assert.ok(is > should / 1.26 - 1 && is < should * 1.26 + 4, `${is} of ${times}, the part ${part}`);
    }
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736', OTHER = '0af7651916cd43dd8448eb211c80319c'; // prettier-ignore
const parent = id => `00-${id}-00f067aa0ba902b7-01`;
const echo = message => rpc('tools/call', { name: 'echo', arguments: { message } }, 'x');

let server;
before(async () => {
    for (const transport of ['http', 'stdio']) writeFileSync(join(folder, transport), '');
    server = await startServer(recorder('http'));
});
after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
});

if (waysThroughWeir.length > 0)
    describe('seeing: the access log', () => {
        let weir;
        before(async () => {
            weir = await watched({
                http: http(server.url),
                stdio: stdio(),
                ended: stdio(),
                dead: http('http://127.0.0.1:1/mcp'),
                slow: http(server.url, { reply_timeout: '50ms' }),
                full: http(server.url, {}, { max: 1, acquire_timeout: '50ms' })
            });
        });
        after(() => weir?.stop());

        for (const [way, name] of Object.entries({ http: () => new URL(server.url).host, stdio: () => 'node' }))
            test(`seeing: the access log: over ${way} each member of a line is true`, async () => {
                const session = await openSession(weir.at(way));
                const body = echo('counted');
                const began = Date.now();
                const reply = await exchange(weir.at(way), { ...session.headers, traceparent: parent(TRACE) }, body);
                const took_us = (Date.now() - began + 1) * 1000;
                const { time, us, ...line } = await weir.line(({ upstream, name }) => upstream === way && name === 'echo');
                assert.deepEqual(line, {
                    listener: 'edge',
                    peer: '127.0.0.1',
                    verb: 'POST',
                    method: 'tools/call',
                    name: 'echo',
                    upstream: way,
                    server: name(),
                    status: 200,
                    bytes_in: Buffer.byteLength(body),
                    bytes_out: reply.length,
                    trace_id: TRACE
                });
                assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
                assert.ok(Date.parse(time) >= began - 1 && Date.parse(time) <= Date.now(), `${time} is when it ended`);
                assert.ok(Number.isInteger(us) && us > 0 && us <= took_us, `${us} of ${took_us} us`);
                await session.end();
            });

        test('seeing: the access log: the trace is that of the message, or else that of the head', async () => {
            const session = await openSession(weir.at('http'));
            let calls = 0;
            const traced = async (headers, meta) => {
                const tool = `traced ${(calls += 1)}`;
                await session.post(rpc('tools/call', { name: tool, ...(meta && { _meta: meta }) }, 1), headers);
                return (await weir.line(({ name }) => name === tool)).trace_id;
            };
            assert.equal(await traced({}, { traceparent: parent(OTHER) }), OTHER);
            assert.equal(await traced({ traceparent: parent(TRACE) }, { traceparent: parent(OTHER) }), OTHER);
            assert.equal(await traced({ traceparent: parent(TRACE) }), TRACE);
            assert.equal(await traced({ traceparent: 'nonsense' }), undefined);
            assert.equal(await traced({}), undefined);
            await session.end();
        });

        test('seeing: the access log: a stream, its end and the end of its session are lines of their own', async () => {
            const session = await openSession(weir.at('ended')); // nobody else's lines are of this upstream
            const stream = new Connection(weir.at('ended')).send('GET', session.headers);
            assert.equal((await stream.head()).status, 200);
            await session.end();
            const end = await weir.line(({ upstream, verb }) => upstream === 'ended' && verb === 'DELETE');
            assert.equal(end.status, 200);
            const listened = await weir.line(({ upstream, verb }) => upstream === 'ended' && verb === 'GET');
            assert.equal(listened.status, 200);
            assert.equal(listened.method, undefined);
            stream.close();
        });

        test('seeing: the access log: names of clients cannot break a line', async () => {
            const session = await openSession(weir.at('http'));
            const names = ['quo"te', 'back\\slash', 'new\nline', 'žluťoučký 🐴', '\u0000', 'x'.repeat(500)];
            for (const name of names) await session.post(rpc('tools/call', { name, arguments: {} }, 1));
            const logged = () => weir.lines().map(({ name }) => name);
            for (const name of names.slice(0, -1)) await until(() => logged().includes(name), `${JSON.stringify(name)} is logged`);
            await until(() => logged().some(name => /^x{16,}$/.test(name)), 'the beginning of a long one is logged');
            await session.end();
        });

        const hello = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }, 1);
        const post = (name, body, headers) => request(weir.at(name).replace('/nowhere', ''), 'POST', headers, body);
        const failures = {
            not_found: [404, 'info', () => request(weir.url('edge', '/elsewhere'), 'POST', {}, hello)],
            not_json: [400, 'info', () => post('http', '{')],
            not_jsonrpc: [400, 'info', () => post('http', '{}')],
            bad_type: [415, 'info', () => post('http', hello, { 'content-type': 'text/plain' })],
            bad_origin: [403, 'info', () => post('http', hello, { origin: 'https://other.example' })],
            bad_method: [405, 'info', () => request(weir.at('http'), 'PUT', {}, hello)],
            session_required: [400, 'info', () => post('stdio', echo('lost'))],
            session_not_found: [404, 'info', () => post('http', echo('lost'), { 'mcp-session-id': 'nonsense' })],
            connect_failed: [502, 'warn', () => post('dead', hello)],
            timeout: [504, 'warn', () => post('slow', rpc('tools/call', { name: 'wait' }, 1))],
            server_died: [
                502,
                'warn',
                async () => (await openSession(weir.at('stdio'))).post(rpc('tools/call', { name: 'exit', arguments: { status: 3 } }, 1))
            ],
            pool_full: [
                503,
                'warn',
                async () => {
                    const holder = new Connection(weir.at('full')).send('POST', {}, rpc('tools/call', { name: 'wait' }, 1));
                    await until(async () => (await weir.status()).upstreams.full.in_flight === 1, 'the only link is taken');
                    const reply = await post('full', hello);
                    holder.close();
                    return reply;
                }
            ]
        };
        for (const [reason, [status, level, play]] of Object.entries(failures))
            test(`seeing: the access log: ${reason} is told to the client, in the access log and in the error log`, async () => {
                const reply = await play();
                assert.equal(reply.status, status, reply.text);
                const line = await weir.line(line => line.reason === reason);
                assert.equal(line.status, status);
                const said = new RegExp(` ${level} \\[worker/0 \\d+\\] edge: 127\\.0\\.0\\.1 got ${status} ${reason}: \\S`);
                await until(() => said.test(weir.stderr()), () => `${said} in\n${weir.stderr()}`);
            });

        test('seeing: the access log: a client that left got nothing, and is named so', async () => {
            const session = await openSession(weir.at('http'));
            const gone = new Connection(weir.at('http')).send('POST', session.headers, rpc('tools/call', { name: 'wait' }, 'gone'));
            await until(async () => (await weir.status()).upstreams.http.in_flight === 1, 'the call is on its way');
            gone.cut();
            const line = await weir.line(({ reason }) => reason === 'client_gone');
            assert.deepEqual([line.status, line.name, line.bytes_out], [499, 'wait', 0]);
            await session.end();
        });

        test('seeing: the error log: every line has a time, a level, a process and a sentence', () => {
            const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warn|notice|info|debug) \[(master|worker\/0|keeper\/0) \d+\] \S.*$/;
            const lines = weir.stderr().trimEnd().split('\n');
            assert.ok(lines.length > 10);
            for (const line of lines) assert.match(line, form);
        });
    });

if (waysThroughWeir.length > 0)
    test('seeing: clients beyond worker_connections wait, and the log says so', async () => {
        const weir = await watched({ far: http(server.url) }, 'worker_connections: 1');
        const first = new Connection(weir.at('far')).send('POST', {}, echo('first'));
        assert.equal((await first.head()).status, 200);
        await first.body();
        await weir.task.seen(/ error \[worker\/0 \d+\] listener edge: takes no new clients for the moment: .*worker_connections/);
        const second = new Connection(weir.at('far')).send('POST', {}, echo('second'));
        assert.equal((await weir.status()).clients, 1);
        first.close();
        assert.equal((await second.head()).status, 200);
        second.close();
        await weir.stop();
    });

/* A server that is another one on each path, and remembers which sessions it has begun there. */
async function startHouse() {
    const sessions = new Map();
    const house = createServer(async (asked, reply) => {
        const { id, method } = JSON.parse((await text(asked)) || '{}');
        if (method === 'initialize') sessions.set(`s${sessions.size}`, asked.url);
        const session = method === 'initialize' ? `s${sessions.size - 1}` : asked.headers['mcp-session-id'];
        const result = method === 'initialize' ? { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'x', version: '1' } } : { path: asked.url };
        if (sessions.get(session) !== asked.url) return reply.writeHead(404).end();
        if (id === undefined) return reply.writeHead(asked.method === 'DELETE' ? 204 : 202).end();
        reply.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': session }).end(JSON.stringify({ jsonrpc: '2.0', id, result }));
    });
    await new Promise(resolve => house.listen(0, '127.0.0.1', resolve));
    return { at: `127.0.0.1:${house.address().port}`, stop: () => new Promise(resolve => house.close(resolve)) };
}

if (waysThroughWeir.length > 0)
    test('seeing: servers at one address have names, sessions and numbers of their own', async () => {
        const house = await startHouse();
        const paths = ['/mcp', '/other', '/other?key=secret', '/'];
        const weir = await watched({ far: { transport: 'http', servers: paths.map(path => ({ url: `http://${house.at}${path}` })), chain: ['breaker', 'pool'] } }, '', 'breaker');
        const names = ['', '/other', '/other~2', '~2'].map(end => house.at + end);
        for (const path of paths) {
            const session = await openSession(weir.at('far'));
            for (let i = 0; i < 3; i++) assert.equal((await session.call('tools/list', {}, i)).result.path, path);
        }
        const { servers, chain } = (await weir.status()).upstreams.far;
        assert.deepEqual(servers.map(({ name }) => name), names); // prettier-ignore
        const [breaker, pool] = chain;
        assert.deepEqual(Object.keys(breaker.circuits), names);
        assert.deepEqual(Object.entries(pool.servers).map(([name, { requests }]) => [name, requests]), names.map(name => [name, 5])); // prettier-ignore
        const { code, stderr } = await run(binary, ['breaker', 'open', `far/${names[1]}`, '-c', weir.file]);
        assert.equal(code, 0, stderr);
        const { circuits } = (await weir.status()).upstreams.far.chain[0];
        assert.deepEqual(Object.values(circuits).map(({ state }) => state), ['closed', 'held_open', 'closed', 'closed']); // prettier-ignore
        await weir.stop();
        await house.stop();
    });

if (waysThroughWeir.length > 0)
    test('seeing: /status: each link of each process, with its score and what it is made of', async () => {
        const servers = [await new Moody().start(), await new Moody().start()];
        const [well, ill] = servers;
        const kept = { transport: 'stdio', command: recorder('stdio'), chain: [{ pool: { min: 0 } }] };
        const weir = await startTeam(servers, { chain: [{ pool: { min: 0, grow_above: 1 } }], workers: 2, upstreams: { kept } });
        try {
            const linksOf = async ({ name }, upstream = 'team') => (await weir.status()).upstreams[upstream].servers.find(one => one.name === name).links;
            const score = (latency, errors) => ({ total: 0.5 * latency + 0.3 * errors + 0.2, latency, errors, age: 1 });
            const near = (is, should) => Object.keys(should).every(part => Math.abs(is[part] - should[part]) < 1e-9);
            ill.mood = 'failing';
            well.mood = 'held';
            const held = [];
            while (well.held.length < 3) held.push(call(weir)), await until(() => well.held.length + ill.calls === held.length, 'it has arrived');
            const busy = await linksOf(well);
            assert.deepEqual(busy.map(({ state, in_flight, requests }) => ({ state, in_flight, requests })), Array(3).fill({ state: 'busy', in_flight: 1, requests: 0 })); // prettier-ignore
            for (const one of busy) {
                assert.deepEqual(one.score, score(1, 1));
                const owner = look(one.pid);
                assert.ok(owner.command.startsWith(`weir: ${one.process}`), owner.command);
                assert.ok(one.age_ms >= 0 && one.age_ms < 60_000);
            }
            assert.ok(busy.some(({ process }) => process === 'worker/0') || busy.some(({ process }) => process === 'worker/1'));
            const failed = await until(async () => {
                const links = await linksOf(ill);
                return links.every(({ state }) => state === 'idle') && links;
            }, 'those that have failed are idle');
            assert.equal(failed.reduce((sum, { requests }) => sum + requests, 0), ill.calls);
            for (const one of failed) {
                assert.deepEqual([one.state, one.in_flight, one.errors, one.latency_us], ['idle', 0, one.requests, 0]);
                assert.ok(near(one.score, score(1, 0)), JSON.stringify(one.score));
            }
            well.release();
            await Promise.all(held);
            const idle = await until(async () => {
                const links = await linksOf(well);
                return links.every(({ state }) => state === 'idle') && links;
            }, 'all are idle');
            for (const one of idle) {
                assert.deepEqual([one.in_flight, one.requests, one.errors], [0, 1, 0]);
                assert.ok(one.latency_us > 0);
                assert.ok(near(one.score, score(Math.max(0, 1 - one.latency_us / 50_000), 1)), JSON.stringify(one));
            }
            const session = await openSession(weir.url('edge', '/kept'));
            const [pipe] = await linksOf({ name: 'node' }, 'kept');
            assert.deepEqual([pipe.process, pipe.state, pipe.requests, pipe.errors], ['keeper/0', 'session', 2, 0]);
            await session.end();
            await until(async () => (await linksOf({ name: 'node' }, 'kept')).length === 0, 'what is gone is not shown');
            const { pid } = idle[0];
            process.kill(pid, 'SIGKILL');
            await until(async () => (await linksOf(well)).every(one => one.pid !== pid), 'what a dead worker had is not shown');
        } finally {
            well.release();
            await weir.stop();
            await Promise.all(servers.map(server => server.stop()));
        }
    });

if (waysThroughWeir.length > 0)
    describe('seeing: /status', () => {
        let weir;
        beforeEach(async () => {
            await weir?.stop();
            weir = await watched({ far: http(server.url, {}, { max: 1 }), near: stdio() });
        });
        after(() => weir?.stop());

        test('seeing: /status: counts what the access log lists', async () => {
            const far = await openSession(weir.at('far'));
            const near = await openSession(weir.at('near'));
            for (const session of [far, far, near]) await session.post(echo('counted'));
            await request(weir.at('near'), 'POST', {}, echo('no session'));
            await request(weir.url('edge', '/elsewhere'), 'POST', {}, echo('no route'));
            await far.end();
            await until(() => weir.lines().length === 10, () => `ten exchanges: ${JSON.stringify(weir.lines())}`);
            const status = await weir.status();
            const expected = matches => {
                const lines = weir.lines().filter(matches);
                const answered = lines.filter(({ reason }) => !reason);
                const sum = (of, member) => of.reduce((total, line) => total + line[member], 0);
                const failures = {};
                for (const { reason } of lines) if (reason) failures[reason] = (failures[reason] ?? 0) + 1;
                return {
                    exchanges: lines.length,
                    in_flight: 0,
                    answered: answered.length,
                    bytes_in: sum(lines, 'bytes_in'),
                    bytes_out: sum(lines, 'bytes_out'),
                    mean_us: answered.length && Math.floor(sum(answered, 'us') / answered.length),
                    failures
                };
            };
            const { links, waiting, transport, servers, chain, latency, ...counted } = status.upstreams.far;
            assert.deepEqual(counted, expected(({ upstream }) => upstream === 'far'));
            assert.deepEqual([counted.exchanges, counted.answered, counted.failures], [5, 5, {}]);
            assert.deepEqual([links, waiting, transport], [1, 0, 'http']);
            timed(latency, weir.lines().filter(({ upstream }) => upstream === 'far'));
            const [{ latency: itsOwn, links: one, ...itself }] = servers;
            assert.equal(one.length, 1);
            assert.deepEqual([itself, servers.length], [{ name: new URL(server.url).host, weight: 1 }, 1]);
            assert.equal(count(itsOwn), 5);
            assert.ok(itsOwn.sum_us > 0 && itsOwn.sum_us < latency.sum_us, 'it had the link for a part of the time');
            const [{ module, links: pooled, idle, busy, opened }, ...others] = chain;
            assert.deepEqual([module, pooled, idle, busy, opened, others], ['pool', 1, 1, 0, 1, []]);

            const { links: pipes, waiting: held, sessions, children, chain: own, latency: slower, ...kept } = status.upstreams.near;
            timed(slower, weir.lines().filter(({ upstream }) => upstream === 'near'));
            assert.deepEqual([pipes, held, sessions, children], [1, 0, 1, 1]);
            assert.deepEqual(own.map(({ module }) => module), ['pool']); // prettier-ignore
            assert.deepEqual(kept, {
                ...expected(({ upstream }) => upstream === 'near'),
                transport: 'stdio',
                servers: [{ name: 'node', weight: 1, latency: kept.servers[0].latency, links: kept.servers[0].links }]
            });
            assert.equal(count(kept.servers[0].latency), 3); // those that came to it
            assert.deepEqual([kept.exchanges, kept.failures], [4, { session_required: 1 }]);
            const { latency: nothing, ...other } = status.other;
            assert.deepEqual(nothing, { p50_us: 0, p99_us: 0, sum_us: 0, buckets: {} });
            assert.deepEqual(other, expected(({ upstream }) => upstream === undefined));
            assert.deepEqual(status.other.failures, { not_found: 1 });
            assert.match(status.version, /^\d+\.\d+\.\d+$/);
            assert.equal(status.draining, false);
            assert.equal(status.worker.generation, 1);
            assert.ok(descendants(weir.task.pid).some(({ pid }) => pid === status.worker.pid));
        });

        test('seeing: /status: shows what is under way, and forgets it when it is over', async () => {
            const near = await openSession(weir.at('near'));
            const now = async () => {
                const { clients, upstreams } = await weir.status();
                const { far, near } = upstreams;
                return { clients, flying: far.in_flight, waiting: far.waiting, links: far.links, sessions: near.sessions, children: near.children };
            };
            const is = expected => until(async () => {
                const shown = await now();
                return Object.entries(expected).every(([name, value]) => shown[name] === value);
            }, () => `the status shows ${JSON.stringify(expected)}`); // prettier-ignore
            await is({ clients: 0, flying: 0, waiting: 0, links: 0, sessions: 1, children: 1 });
            const first = new Connection(weir.at('far')).send('POST', {}, rpc('tools/call', { name: 'wait' }, 1));
            await is({ clients: 1, flying: 1, waiting: 0, links: 1 });
            const second = new Connection(weir.at('far')).send('POST', {}, rpc('tools/call', { name: 'wait' }, 2));
            await is({ clients: 2, flying: 2, waiting: 1, links: 1 });
            second.close();
            await is({ clients: 1, flying: 1, waiting: 0 });
            first.close();
            await is({ clients: 0, flying: 0 });
            await near.end();
            await is({ sessions: 0, children: 0 });
        });

        test('seeing: /status: goes on counting after a reload, and after the death of a worker', async () => {
            const far = await openSession(weir.at('far'));
            await far.post(echo('one'));
            const count = async () => (await weir.status()).upstreams.far.exchanges;
            assert.equal(await count(), 3);
            await renew(weir);
            assert.equal((await weir.status()).worker.generation, 2);
            await far.post(echo('two'));
            assert.equal(await count(), 4);
            const { worker } = await weir.status();
            process.kill(worker.pid, 'SIGKILL');
            await until(async () => {
                const status = await weir.status().catch(() => null);
                return status && status.worker.pid !== worker.pid;
            }, 'another worker answers');
            await far.post(echo('three'));
            assert.equal(await count(), 5);
        });

        test('seeing: /status: is what weir status --json prints', async () => {
            await (await openSession(weir.at('far'))).end();
            const { code, stdout, stderr } = await run(binary, ['status', '--json', '-c', weir.file]);
            assert.equal(code, 0, stderr);
            const ageless = status => JSON.parse(JSON.stringify(status, (name, value) => (name === 'age_ms' ? 0 : value)));
            assert.deepEqual(ageless(JSON.parse(stdout)), ageless(await weir.status()));
            assert.match(stdout, /^ {2}"upstreams": \{\n {4}"far": \{\n {6}"exchanges": 3,$/m);
        });

        test('seeing: /healthz, /readyz and the others answer like HTTP', async () => {
            const ask = async (path, method = 'GET') => {
                const reply = await fetch(weir.admin(path), { method });
                return [reply.status, reply.headers.get('content-type'), await reply.text()];
            };
            assert.deepEqual(await ask('/healthz'), [200, 'text/plain', 'ok\n']);
            assert.deepEqual(await ask('/readyz?x=1'), [200, 'text/plain', 'ok\n']);
            assert.deepEqual(await ask('/readyz', 'HEAD'), [200, 'text/plain', '']);
            assert.equal((await ask('/status'))[1], 'application/json');
            assert.deepEqual(await ask('/nothing'), [404, 'text/plain', 'Not Found\n']);
            assert.deepEqual(await ask('/healthz', 'POST'), [405, 'text/plain', 'Method Not Allowed\n']);
            const { port } = new URL(weir.admin('/'));
            const raw = bytes =>
                new Promise(resolve => {
                    let said = '';
                    const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes));
                    socket.setEncoding('utf8').on('data', text => (said += text)).on('close', () => resolve(said)).on('error', () => {});
                });
            assert.match(await raw('hello\r\n\r\n'), /^HTTP\/1\.0 400 /);
            assert.match(await raw('GET / HTTP/2.0\r\n\r\n'), /^HTTP\/1\.0 505 /);
            assert.match(await raw(`GET / HTTP/1.1\r\nx: ${'x'.repeat(5000)}\r\n\r\n`), /^HTTP\/1\.0 431 /);
        });

        test('seeing: /readyz: 503 while no keeper is up, and 200 when one is', async () => {
            const ready = async () => (await fetch(weir.admin('/readyz'))).status;
            const keeper = descendants(weir.task.pid).find(({ command }) => /keeper/.test(command));
            weir.task.child.kill('SIGSTOP'); // so that nobody starts another one yet
            process.kill(keeper.pid, 'SIGKILL');
            await until(() => !isAlive(keeper), 'the keeper is gone');
            await until(async () => (await ready()) === 503, 'no keeper is up');
            assert.equal(await (await fetch(weir.admin('/readyz'))).text(), 'no keeper is up\n');
            assert.equal((await fetch(weir.admin('/healthz'))).status, 200);
            weir.task.child.kill('SIGCONT');
            await until(async () => (await ready()) === 200, 'the next keeper is up');
            await (await openSession(weir.at('near'))).end();
        });

        test('seeing: /readyz: 503 while draining; what is under way is finished', async () => {
            const session = await openSession(weir.at('near'));
            const call = new Connection(weir.at('near'));
            call.send('POST', session.headers, rpc('tools/call', { name: 'held', _meta: { progressToken: 1 } }, 1));
            await call.head();
            await call.event();
            const release = new Connection(weir.at('near')).send('POST', session.headers, rpc('ping', undefined, 1));
            assert.equal((await release.head()).status, 200);
            await release.body();
            weir.task.child.kill('SIGQUIT');
            await until(async () => (await fetch(weir.admin('/readyz'))).status === 503, 'it says that it drains');
            assert.equal(await (await fetch(weir.admin('/readyz'))).text(), 'draining\n');
            assert.equal((await fetch(weir.admin('/healthz'))).status, 200);
            assert.equal((await weir.status()).draining, true);
            release.send('POST', session.headers, rpc('tools/call', { name: 'release' }, 2));
            const head = await release.head();
            assert.equal(head.status, 200);
            assert.equal(head.headers.connection, 'close');
            for (let event; (event = await call.event()) !== null; ) if (/released/.test(event.data)) break;
            release.close();
            call.close();
            assert.deepEqual(await weir.task.ended, { code: 0, signal: null });
        });
    });
