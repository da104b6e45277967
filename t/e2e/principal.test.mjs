// Who a client is by its certificate: what the access log says, whom a session's token is good for, which server a principal goes to, and
// what an inner weir believes of it. All over TLS, with certificates of two authorities: one of clients, one of edges.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import WebSocket from 'ws';
import { certificate, signed } from './lib/certificates.mjs';
import { Link, hello, readNumber, readText, record, text, word } from './lib/mux.mjs';
import { until } from './lib/process.mjs';
import { PROTOCOL, rpc } from './lib/raw.mjs';
import { startWeir } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

/* ---- certificates ---- */

const folder = mkdtempSync(join(tmpdir(), 'weir-principal-'));
after(() => rmSync(folder, { recursive: true }));
const file = name => join(folder, name);
const LONG = `spiffe://example.org/${'a'.repeat(3000)}`;
const principals = {
    ann: 'uri:spiffe://example.org/Ann',
    bob: 'dns:bob.example',
    cid: 'subject:CN=cid',
    long: /^uri-sha256:[0-9a-f]{64}$/
};
const crowd = Array.from({ length: 12 }, (_, i) => `crowd-${i}`);
await certificate(folder, 'clients', 'DNS:clients.test');
await certificate(folder, 'edges', 'DNS:edges.test');
await certificate(folder, 'server', 'DNS:localhost');
await signed(folder, 'ann', 'clients', 'DNS:ann.example,URI:spiffe://example.org/Ann');
await signed(folder, 'bob', 'clients', 'DNS:Bob.example,email:bob@example.org');
await signed(folder, 'cid', 'clients', 'email:cid@example.org');
await signed(folder, 'long', 'clients', `URI:${LONG}`);
for (const one of crowd) await signed(folder, one, 'clients');
await signed(folder, 'edge', 'edges', 'URI:spiffe://example.org/edge');
await signed(folder, 'other', 'edges', 'URI:spiffe://example.org/other');

const pair = name => ({ certificate: file(`${name}.pem`), key: file(`${name}.key`) });
const shows = name => (name ? { cert: readFileSync(file(`${name}.pem`)), key: readFileSync(file(`${name}.key`)) } : {});
const asks = ca => ({ ...pair('server'), ...(ca && { client_ca: file(`${ca}.pem`) }) });
const reach = (port, who) => ({ host: '127.0.0.1', port, servername: 'localhost', ca: readFileSync(file('server.pem')), ...shows(who) });

/* ---- servers, each of which says its name ---- */

function answer(name, { method, id }) {
    const result = method === 'initialize' ? { protocolVersion: PROTOCOL, capabilities: {}, serverInfo: { name, version: '1' } } : { name };
    return JSON.stringify({ jsonrpc: '2.0', id, result });
}

async function listening(server) {
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    return server;
}

const overHttp = () =>
    listening(
        http.createServer(async (request, response) => {
            let body = '';
            for await (const piece of request) body += piece;
            if (request.method !== 'POST') return response.writeHead(request.method === 'DELETE' ? 200 : 405).end();
            const message = JSON.parse(body);
            const session = message.method === 'initialize' ? { 'mcp-session-id': 'of-the-server' } : {};
            response.writeHead(200, { 'content-type': 'application/json', ...session }).end(answer(String(request.socket.localPort), message));
        })
    );

const overTcp = () =>
    listening(
        net.createServer(socket => {
            let rest = '';
            socket.on('error', () => {}).on('data', bytes => {
                const lines = (rest + bytes).split('\n');
                rest = lines.pop();
                for (const message of lines.map(line => JSON.parse(line))) if (message.id !== undefined) socket.write(`${answer(String(socket.localPort), message)}\n`);
            });
        })
    );

/* ---- the weirs ---- */

const transports = ['http', 'sse', 'tcp', 'ws'];
const common = name => ({
    workers: 2,
    log: { level: 'info', file: 'stderr' },
    access_log: { file: file(`${name}.log`), flush: '1ms' },
    modules: ['http', 'sse', 'tcp', 'ws', 'stdio', 'pool']
});
const logged = name => readFileSync(file(`${name}.log`), 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line));
const hashed = { pool: { strategy: 'hash', hash_by: 'principal', min: 0, health_check: 0 } };
const link = (name, who) => ({
    transport: 'tcp',
    framing: 'mux',
    servers: [{ address: `localhost:${inner.port(name)}`, tls: true, ca: file('server.pem'), ...pair(who) }],
    chain: [{ pool: { min: 0 } }]
});
const https_ = (routes, ca) => ({ transport: 'http', listen: '127.0.0.1:0', tls: asks(ca), routes: routes.map(upstream => ({ path: `/${upstream}`, upstream })) });

const servers = [];
let inner, edge;
before(async () => {
    for (let i = 0; i < 4; i++) servers.push(await overHttp(), await overTcp());
    const ports = parity => servers.filter((_, i) => i % 2 === parity).map(server => server.address().port);
    const upstreams = {
        demo: { transport: 'stdio', command: demo.stdio, chain: ['pool'] },
        web: { transport: 'http', servers: ports(0).map(port => ({ url: `http://127.0.0.1:${port}/mcp` })), chain: [hashed] },
        lines: { transport: 'tcp', servers: ports(1).map(port => ({ address: `127.0.0.1:${port}` })), chain: [hashed] }
    };
    const routes = Object.keys(upstreams).map(upstream => ({ path: `/${upstream}`, upstream }));
    const mux = { transport: 'tcp', framing: 'mux', listen: '127.0.0.1:0', tls: asks('edges'), routes: [...routes, { path: '/doubted', upstream: 'web' }] };
    inner = await startWeir(
        JSON.stringify({
            ...common('inner'),
            listeners: { believing: { ...mux, edges: ['spiffe:none', 'uri:spiffe://example.org/edge'] }, doubting: mux, unasked: { ...mux, tls: asks(), edges: 'any' } },
            upstreams
        })
    );
    const listeners = Object.fromEntries(
        transports.map(transport => [transport, { transport, listen: '127.0.0.1:0', tls: asks('clients'), routes: [{ path: transport === 'tcp' ? '/' : '/mcp', upstream: 'here' }] }])
    );
    const all = ['here', 'direct', 'keptdirect', 'demo', 'web', 'lines', 'doubted'];
    edge = await startWeir(
        JSON.stringify({
            ...common('edge'),
            listeners: { ...listeners, all: https_(all, 'clients'), open: https_(all) },
            upstreams: {
                here: upstreams.demo,
                direct: upstreams.web,
                keptdirect: upstreams.lines,
                ...Object.fromEntries(['demo', 'web', 'lines'].map(name => [name, link('believing', 'edge')])),
                doubted: link('doubting', 'edge')
            }
        })
    );
});
after(async () => {
    await edge?.stop();
    await inner?.stop();
    servers.forEach(server => (server.close(), server.closeAllConnections?.()));
});

/* ---- clients ---- */

const initialize = rpc('initialize', { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: { name: 'raw', version: '1' } }, 1);
const list = rpc('tools/list', {}, 2);

/* One request on a connection of its own. */
function ask(listener, path, who, body, { token, method = 'POST', ...more } = {}) {
    const headers = { accept: 'application/json, text/event-stream', ...(body && { 'content-type': 'application/json' }), ...(token && { 'mcp-session-id': token }) };
    return new Promise((resolve, reject) => {
        const options = { ...reach(edge.port(listener), who), path, method, headers, agent: false, ...more };
        const request = https.request(options, response => {
            const isResumed = response.socket.isSessionReused();
            let text = '';
            response.setEncoding('utf8').on('data', piece => (text += piece));
            response.on('end', () => resolve({ status: response.statusCode, token: response.headers['mcp-session-id'], text, isResumed }));
        });
        request.on('error', reject).end(body);
    });
}

async function begin(path, who, listener = 'all') {
    const { status, token, text } = await ask(listener, path, who, initialize);
    assert.equal(status, 200, text);
    return token;
}
const serverOf = text => text.match(/"serverInfo":\{"name":"(\d+)"/)[1];

/* ---- what it is called ---- */

for (const [who, name] of Object.entries(principals))
    test(`principal: the_access_log_has_what_the_certificate_says (${who})`, async () => {
        const method = `named/${who}`;
        await ask('all', '/direct', who, rpc(method, {}, 1));
        await until(() => logged('edge').some(line => line.method === method), 'it is logged');
        const { principal } = logged('edge').find(line => line.method === method);
        if (typeof name === 'string') assert.equal(principal, name);
        else assert.match(principal, name);
    });

test('principal: a_client_that_need_not_show_a_certificate_is_nobody_in_particular', async () => {
    await ask('open', '/direct', 'ann', rpc('named/nobody', {}, 1));
    await until(() => logged('edge').some(line => line.method === 'named/nobody'), 'it is logged');
    assert.equal('principal' in logged('edge').find(line => line.method === 'named/nobody'), false);
});

const openStream = (port, who) =>
    new Promise((resolve, reject) => {
        const request = https.request({ ...reach(port, who), path: '/mcp', headers: { accept: 'text/event-stream' }, agent: false }, response => {
            response.setEncoding('utf8').once('data', text => resolve({ endpoint: text.match(/data: ?(\S+)/)[1], response }));
        });
        request.on('error', reject).end();
    });

/* An `initialize`, by each transport, that is answered. */
const says = {
    http: (port, who) => ask('http', '/mcp', who, initialize),
    async sse(port, who) {
        const { endpoint, response } = await openStream(port, who);
        const { status } = await ask('sse', endpoint, who, initialize);
        assert.equal(status, 202);
        await new Promise(resolve => response.once('data', resolve));
        response.destroy();
    },
    tcp: (port, who) =>
        new Promise((resolve, reject) => {
            const socket = tls.connect(reach(port, who), () => socket.write(`${initialize}\n`)).on('error', reject);
            socket.on('data', () => (socket.end(), resolve()));
        }),
    ws: (port, who) =>
        new Promise((resolve, reject) => {
            const socket = new WebSocket(`wss://localhost:${port}/mcp`, reach(port, who));
            socket.on('open', () => socket.send(initialize)).on('error', reject);
            socket.on('message', () => (socket.close(), resolve()));
        })
};
for (const transport of transports)
    test(`principal: a_certificate_names_whoever_comes_by_${transport}`, async () => {
        await says[transport](edge.port(transport), 'bob');
        const isIt = line => line.listener === transport && line.method === 'initialize';
        await until(() => logged('edge').some(isIt), 'it is logged');
        assert.deepEqual(logged('edge').filter(isIt).map(({ principal }) => principal), ['dns:bob.example']);
    });

test('principal: a_connection_that_resumes_a_tls_session_is_still_its_owners', async () => {
    const session = await new Promise((resolve, reject) => {
        const socket = tls.connect(reach(edge.port('all'), 'cid')).on('error', reject);
        socket.on('session', session => (resolve(session), socket.destroy())).resume();
    });
    const { isResumed } = await ask('all', '/direct', 'cid', rpc('named/again', {}, 1), { session });
    assert.equal(isResumed, true);
    await until(() => logged('edge').some(line => line.method === 'named/again'), 'it is logged');
    assert.equal(logged('edge').find(line => line.method === 'named/again').principal, 'subject:CN=cid');
});

/* ---- whose a session is ---- */

for (const [what, path] of [
    ['a_server_over_http', '/direct'],
    ['a_keeper', '/here'],
    ['a_server_behind_an_inner_weir', '/web'],
    ['the_keeper_of_an_inner_weir', '/demo']
])
    test(`principal: a_token_of_${what}_is_of_no_use_to_anybody_else`, async () => {
        const token = await begin(path, 'ann');
        for (const [listener, who] of [['all', 'bob'], ['all', 'long'], ['open', null]]) {
            for (const [method, body] of [['POST', list], ['GET', undefined], ['DELETE', undefined]]) {
                const { status, text } = await ask(listener, path, who, body, { token, method });
                assert.equal(status, 404, `${method} by ${who}: ${text}`);
            }
        }
        const { status, text } = await ask('all', path, 'ann', list, { token });
        assert.equal(status, 200, text);
        assert.equal((await ask('all', path, 'ann', undefined, { token, method: 'DELETE' })).status, 200);
    });

test('principal: a_token_of_nobody_in_particular_is_of_no_use_to_somebody', async () => {
    const token = await begin('/here', null, 'open');
    assert.equal((await ask('all', '/here', 'ann', list, { token })).status, 404);
    assert.equal((await ask('open', '/here', null, list, { token })).status, 200);
});

test('principal: a_token_is_visible_ascii_and_as_short_as_any_however_long_the_name', async () => {
    const own = await begin('/here', null, 'open');
    for (const who of ['ann', 'bob', 'long']) {
        const token = await begin('/here', who);
        assert.match(token, /^[\x21-\x7e]+$/);
        assert.equal(token.length, own.length);
        assert.ok(token.length <= 128, `${token.length} characters`);
    }
});

test('principal: the_endpoint_of_an_event_stream_takes_messages_of_its_owner_alone', async () => {
    const { endpoint, response } = await openStream(edge.port('sse'), 'ann');
    assert.equal((await ask('sse', endpoint, 'bob', initialize)).status, 404);
    assert.equal((await ask('sse', endpoint, 'ann', initialize)).status, 202);
    response.destroy();
});

/* ---- where it goes ---- */

for (const [what, path] of [
    ['', '/direct'],
    ['_from_a_keeper', '/keptdirect'],
    ['_behind_an_inner_weir', '/web'],
    ['_from_a_keeper_behind_an_inner_weir', '/lines']
])
    test(`principal: hash_sends_a_principal_to_one_server_and_not_all_to_the_same${what}`, async () => {
        const owners = new Set();
        for (const who of crowd) {
            const its = new Set();
            for (let i = 0; i < 3; i++) its.add(serverOf((await ask('all', path, who, initialize)).text));
            assert.equal(its.size, 1, `${who} goes to ${[...its]}`);
            owners.add(...its);
        }
        assert.ok(owners.size > 1, 'they are not all at the same one');
    });

test('principal: without_one_the_address_counts_and_so_all_of_one_address_go_to_one_server', async () => {
    const owners = new Set();
    for (const who of crowd) owners.add(serverOf((await ask('open', '/direct', who, initialize)).text));
    assert.equal(owners.size, 1);
});

/* ---- what an inner weir believes ---- */

test('principal: an_edge_that_the_inner_weir_names_is_believed', async () => {
    await ask('all', '/web', 'ann', rpc('believed/ann', {}, 1));
    await ask('open', '/web', null, rpc('believed/nobody', {}, 1));
    const lineOf = method => logged('inner').find(line => line.method === method);
    await until(() => lineOf('believed/ann') && lineOf('believed/nobody'), 'both are logged');
    assert.equal(lineOf('believed/ann').principal, principals.ann);
    assert.equal('principal' in lineOf('believed/nobody'), false, 'a client without a certificate is not the edge');
});

test('principal: an_edge_that_is_named_nowhere_is_served_and_not_believed', async () => {
    const { status } = await ask('all', '/doubted', 'ann', rpc('doubted/ann', {}, 1));
    assert.equal(status, 200);
    await until(() => logged('inner').some(line => line.method === 'doubted/ann'), 'it is logged');
    assert.equal('principal' in logged('inner').find(line => line.method === 'doubted/ann'), false);
    await until(() => /says who its clients are and is not believed: it is uri:spiffe:\/\/example\.org\/edge \(see `edges`/.test(inner.stderr()), 'the log says so');
});

/* A link by hand, by whoever shows what `who` has. */
async function connectLink(name, who) {
    const socket = tls.connect({ ...reach(inner.port(name), who) });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    const link = new Link(socket).say(hello());
    await link.seen(({ word: said }) => said === word.hello);
    return link;
}
const LEGACY_NAMED = 0x84;
const say = (channel, target, principal, message, session = '') =>
    record(channel, word.open, LEGACY_NAMED, text(session), text('127.0.0.9'), text(target), text(principal), text(''), text(''), text(''), text(session && PROTOCOL), message);
const headOf = async (link, channel) => (await link.seen(one => one.channel === channel && (one.word === word.head || one.word === word.fail))).body;
/* Mcp-Session-Id, which is spelled out nowhere: it is the 12th of the fields that have a number. */
function grantOf(head) {
    let at = readNumber(head, readNumber(head, 0)[1])[1];
    let fields = head[at++];
    for (let value; fields > 0; fields--) {
        const field = head[at++];
        if (field === 0) [, at] = readText(head, at);
        [value, at] = readText(head, at);
        if (field === 12) return value;
    }
    return assert.fail('the reply grants a session');
}
/* What a FAIL begins with for a session that is not there: every other one would do as well, so it is read from one. */
const reasonOf = body => body[0];

for (const target of ['/demo', '/web'])
    test(`principal: the_inner_weir_too_gives_a_session_to_nobody_but_its_owner (${target})`, async () => {
        const link = await connectLink('believing', 'edge');
        link.say(say(1, target, 'dns:ann', initialize));
        const head = await headOf(link, 1);
        const token = grantOf(head);
        link.say(say(2, target, 'dns:ann', list, 'no token'));
        const lost = reasonOf(await headOf(link, 2));
        link.say(say(3, target, 'dns:bob', list, token));
        assert.equal(reasonOf(await headOf(link, 3)), lost, 'to another it is as if there were none');
        link.say(say(4, target, 'dns:ann', list, token));
        const answered = await link.seen(one => one.channel === 4);
        assert.equal(answered.word, word.head, 'its owner goes on');
        link.socket.destroy();
    });

for (const [what, name, who] of [
    ['of_another_name', 'believing', 'other'],
    ['that_shows_no_certificate', 'unasked', null]
])
    test(`principal: a_peer_${what}_cannot_say_who_its_clients_are`, async () => {
        const method = `forged/${what}`;
        const link = await connectLink(name, who);
        link.say(say(1, '/web', principals.ann, rpc(method, {}, 1)));
        await headOf(link, 1);
        await until(() => logged('inner').some(line => line.method === method), 'it is logged');
        assert.equal('principal' in logged('inner').find(line => line.method === method), false);
        link.socket.destroy();
    });

for (const [what, principal] of [
    ['too_long', 'a'.repeat(256)],
    ['empty', ''],
    ['not_printable', 'dns:a\nb']
])
    test(`principal: a_link_whose_principal_is_${what}_is_closed`, async () => {
        const link = await connectLink('believing', 'edge');
        link.say(say(1, '/web', principal, list));
        await link.closed();
    });
