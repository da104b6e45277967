// Mutual TLS: clients that have to show a certificate, and servers that weir has to show one to, over every transport that has TLS.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import WebSocket from 'ws';
import { certificate, signed } from './lib/certificates.mjs';
import { run, until } from './lib/process.mjs';
import { Connection, PROTOCOL, rpc } from './lib/raw.mjs';
import { binary, startWeir } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-mutual-'));
after(() => rmSync(folder, { recursive: true }));
const file = name => join(folder, name);
await certificate(folder, 'authority', 'DNS:authority.test');
await certificate(folder, 'others', 'DNS:others.test');
await certificate(folder, 'server', 'DNS:localhost');
await certificate(folder, 'second', 'DNS:second.test');
await signed(folder, 'friend', 'authority');
await signed(folder, 'stranger', 'others');

const pair = name => ({ certificate: file(`${name}.pem`), key: file(`${name}.key`) });
const shows = name => (name ? { cert: readFileSync(file(`${name}.pem`)), key: readFileSync(file(`${name}.key`)) } : {});

/* ---- clients ---- */

const transports = ['http', 'sse', 'tcp', 'ws'];
const listener = (transport, tls) => ({ transport, listen: '127.0.0.1:0', tls, routes: [{ path: transport === 'tcp' ? '/' : '/mcp', upstream: 'demo' }] });
const verified = { ...pair('server'), client_ca: file('authority.pem') };
const inner = {
    workers: 1,
    log: { level: 'info', file: 'stderr' },
    modules: ['http', 'sse', 'tcp', 'ws', 'stdio', 'pool'],
    listeners: {
        ...Object.fromEntries(transports.map(transport => [transport, listener(transport, verified)])),
        strict: listener('http', { ...verified, min_version: '1.3' }),
        named: listener('http', [verified, pair('second')]),
        open: listener('http', pair('server')),
        other: listener('http', { ...verified, client_ca: file('others.pem') })
    },
    upstreams: { demo: { transport: 'stdio', command: demo.stdio, chain: ['pool'] } }
};
let weir;
before(async () => (weir = await startWeir(JSON.stringify(inner))));
after(() => weir?.stop());

const hello = rpc('initialize', { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: { name: 'raw', version: '1' } }, 1);

/* `initialize` over TLS to a listener, by whoever shows what `me` has: the text of the answer, or why there is none. */
function ask(name, me, { servername = 'localhost', ca = 'server', ...more } = {}) {
    const options = { host: '127.0.0.1', port: weir.port(name), servername, ca: readFileSync(file(`${ca}.pem`)), ...shows(me), ...more };
    return new Promise((resolve, reject) => {
        if (name === 'ws') {
            const socket = new WebSocket(`wss://localhost:${options.port}/mcp`, options);
            socket.on('open', () => socket.send(hello)).on('error', reject);
            socket.on('message', data => (resolve(data.toString()), socket.close()));
        } else if (name === 'tcp') {
            const socket = tls.connect(options, () => socket.write(`${hello}\n`)).on('error', reject);
            socket.on('data', data => (resolve(data.toString()), socket.end())).on('close', () => reject(new Error('closed')));
        } else {
            const isStream = name === 'sse';
            const headers = isStream ? { accept: 'text/event-stream' } : { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
            const request = https.request({ ...options, path: '/mcp', method: isStream ? 'GET' : 'POST', headers, agent: false }, response => {
                response.setEncoding('utf8').once('data', text => (resolve(text), response.destroy()));
            });
            request.on('error', reject).end(isStream ? undefined : hello);
        }
    });
}

const refused = why => until(() => weir.stderr().match(why), `the log says ${why}`);
const countOf = pattern => weir.stderr().match(new RegExp(pattern, 'g'))?.length ?? 0;

for (const name of [...transports, 'strict'])
    for (const maxVersion of name === 'strict' ? ['TLSv1.3'] : ['TLSv1.2', 'TLSv1.3']) {
        test(`mutual tls: a_client_that_is_known_is_served (${name}, ${maxVersion})`, async () => {
            assert.match(await ask(name, 'friend', { maxVersion }), name === 'sse' ? /event: endpoint/ : /weir-demo/);
        });

        for (const [who, why] of [
            [null, `the client has shown no certificate \\(see \`client_ca\` of listener ${name}\\)`],
            ['stranger', `the client's certificate is not trusted: .*\\(see \`client_ca\` of listener ${name}\\)`],
            ['server', `the client's certificate is not trusted: self-signed certificate \\(see \`client_ca\` of listener ${name}\\)`]
        ])
            test(`mutual tls: a_client_that_shows_${who ?? 'nothing'}_is_refused (${name}, ${maxVersion})`, async () => {
                const before = countOf(why);
                await assert.rejects(ask(name, who, { maxVersion }));
                await until(() => countOf(`info .*a client at 127.0.0.1 was refused: TLS: ${why}`) > 0 && countOf(why) > before, 'the log says why');
            });
    }

test('mutual tls: what_is_asked_of_clients_does_not_depend_on_the_name_that_they_ask_for', async () => {
    const second = { servername: 'second.test', ca: 'second' };
    assert.match(await ask('named', 'friend', second), /weir-demo/);
    await assert.rejects(ask('named', null, second));
    await refused(/shown no certificate \(see `client_ca` of listener named\)/);
});

/* A TLS session of a listener, to be resumed elsewhere. */
const sessionOf = (name, me) =>
    new Promise((resolve, reject) => {
        const socket = tls.connect({ host: '127.0.0.1', port: weir.port(name), servername: 'localhost', ca: readFileSync(file('server.pem')), ...shows(me) });
        socket.on('session', session => (resolve(session), socket.destroy())).on('error', reject);
        socket.resume();
    });
const resumes = (name, me, session) =>
    new Promise(resolve => {
        const socket = tls.connect({ host: '127.0.0.1', port: weir.port(name), servername: 'localhost', ca: readFileSync(file('server.pem')), session, ...shows(me) });
        socket.on('secureConnect', () => (resolve(socket.isSessionReused()), socket.destroy())).on('error', () => resolve(false));
    });

test('mutual tls: a_session_is_resumed_where_the_same_is_asked_of_clients_and_nowhere_else', async () => {
    const friends = await sessionOf('http', 'friend');
    assert.equal(await resumes('ws', 'friend', friends), true);
    assert.equal(await resumes('other', 'friend', friends), false);
    assert.equal(await resumes('http', null, await sessionOf('open', null)), false);
    await assert.rejects(ask('http', null, { session: await sessionOf('open', null) }));
});

/* ---- servers ---- */

const urls = {
    http: port => ({ url: `https://localhost:${port}/mcp` }),
    sse: port => ({ url: `https://localhost:${port}/mcp` }),
    tcp: port => ({ address: `localhost:${port}`, tls: true }),
    ws: port => ({ url: `wss://localhost:${port}/mcp` })
};
const outer = () => {
    const upstreams = {};
    for (const transport of transports)
        for (const [who, shown] of [['friend', pair('friend')], ['stranger', pair('stranger')], ['nobody', {}]]) {
            const server = { ...urls[transport](weir.port(transport)), ca: file('server.pem'), ...shown };
            upstreams[`${transport}-${who}`] = { transport, servers: [server], chain: [{ pool: { min: 0 } }] };
        }
    const routes = Object.keys(upstreams).map(upstream => ({ path: `/${upstream}`, upstream }));
    return { ...inner, listeners: { edge: { transport: 'http', listen: '127.0.0.1:0', routes } }, upstreams };
};

test('mutual tls: a_server_that_asks_for_a_certificate_is_shown_the_one_that_is_configured', async t => {
    const house = await startWeir(JSON.stringify(outer()));
    const initialize = async path => {
        const connection = new Connection(house.url('edge', path)).send('POST', {}, hello);
        const head = await connection.head();
        const text = await connection.reply(head);
        connection.close();
        return { status: head.status, text };
    };
    try {
        for (const transport of transports) {
            await t.test(`${transport}: it is shown, and accepted`, async () => {
                const { status, text } = await initialize(`/${transport}-friend`);
                assert.equal(status, 200, text);
                assert.match(text, /weir-demo/);
            });
            for (const who of ['stranger', 'nobody'])
                await t.test(`${transport}: ${who} is refused, and the client is told what can be turned`, async () => {
                    const { status, text } = await initialize(`/${transport}-${who}`);
                    assert.equal(status, 502, text);
                    assert.match(text, /alert .*the server may ask for a certificate that it knows: see `certificate` and `key`/);
                });
        }
    } finally {
        await house.stop();
    }
});

/* ---- what is wrong with a configuration ---- */

const check = async (listeners, upstreams) => {
    const wrong = file('wrong.yaml');
    writeFileSync(wrong, JSON.stringify({ ...inner, listeners, upstreams: { ...inner.upstreams, ...upstreams } }, null, 1));
    return run(binary, ['-t', '-c', wrong]);
};
const up = server => [{}, { up: { transport: 'http', servers: [{ url: 'https://localhost/mcp', ...server }], chain: ['pool'] } }];
const tcp = server => [{}, { up: { transport: 'tcp', servers: [{ address: 'localhost:1', ...server }], chain: ['pool'] } }];
const edge = tls => [{ edge: listener('http', tls) }, {}];

for (const [what, [listeners, upstreams], story] of [
    ['authorities_of_clients_that_are_not_there', edge({ ...verified, client_ca: file('none.pem') }), /listener edge: cannot read the authorities of clients in .*none.pem: No such file/],
    ['authorities_of_clients_that_are_none', edge({ ...verified, client_ca: file('server.key') }), /cannot read the authorities of clients in .*server.key: no PEM block/],
    ['two_files_of_authorities', edge([verified, { ...pair('second'), client_ca: file('others.pem') }]), /listener edge: client_ca: .*authority.pem and .*others.pem; one file counts for all/],
    ['a_certificate_that_is_not_there', up({ ...pair('none') }), /upstream up: cannot read the certificate .*none.pem: No such file/],
    ['a_key_that_is_not_there', up({ ...pair('friend'), key: file('none.key') }), /upstream up: cannot read the key .*none.key: No such file/],
    ['a_key_that_is_nowhere', up({ certificate: file('friend.pem') }), /upstream up: cannot read the key .*friend.pem: no PEM block of that kind in it/],
    ['a_key_of_another_certificate', up({ ...pair('friend'), key: file('stranger.key') }), /the key .*stranger.key does not match the certificate .*friend.pem/],
    ['a_key_of_no_certificate', up({ key: file('friend.key') }), /upstream up: key: .*friend.key is the key of no certificate; `certificate` is missing/],
    ['a_certificate_without_TLS', up({ url: 'http://localhost/mcp', ...pair('friend') }), /upstream up: certificate: .*friend.pem cannot be shown: there is no TLS to localhost:80/],
    ['a_certificate_without_TLS_over_tcp', tcp(pair('friend')), /certificate: .*friend.pem cannot be shown: there is no TLS to localhost:1/]
])
    test(`mutual tls: refused: ${what}`, async () => {
        const { code, stderr } = await check(Object.keys(listeners).length ? listeners : { open: inner.listeners.open }, upstreams);
        assert.equal(code, 1, stderr);
        assert.match(stderr, story);
        assert.match(stderr, /wrong\.yaml:\d+:\d+: /);
    });
