// TLS on the connect side: whom weir believes to be its server, and what it says when it does not.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import tls from 'node:tls';
import { certificate } from './lib/certificates.mjs';
import { answerTo, scenesWithServers } from './lib/fake.mjs';
import { rpc } from './lib/raw.mjs';
import { whileWorkerSleeps } from './lib/weir.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-tls-'));
after(() => rmSync(folder, { recursive: true }));
const file = name => join(folder, name);

await certificate(folder, 'named', 'DNS:localhost');
await certificate(folder, 'numbered', 'IP:127.0.0.1');
await certificate(folder, 'other', 'DNS:other.test');
const pair = name => ({ cert: readFileSync(file(`${name}.pem`)), key: readFileSync(file(`${name}.key`)) });
const pinOf = name => {
    const { publicKey } = new X509Certificate(readFileSync(file(`${name}.pem`)));
    return createHash('sha256')
        .update(publicKey.export({ type: 'spki', format: 'der' }))
        .digest('base64');
};

/* A fake server with this certificate; `names` collects the names that clients ask for. */
const secure =
    (name, options = {}) =>
    () =>
        tls.createServer({ ...pair(name), ALPNProtocols: ['http/1.1'], ...options });
const named = port => `https://localhost:${port}/server`;
const numbered = port => `https://127.0.0.1:${port}/server`;

const { scene } = scenesWithServers();
const call = (id = 1) => rpc('tools/call', { name: 'spend' }, id);

async function isServed({ client, server }) {
    const connection = client().send('POST', {}, call());
    const peer = await server.next();
    const request = await peer.request();
    peer.reply(answerTo(call()));
    assert.equal((await connection.head()).status, 200);
    assert.equal(JSON.parse(await connection.body()).id, 1);
    return { connection, peer, request };
}

async function isRefused({ client, server }, why) {
    const connection = client().send('POST', {}, call('x'));
    const head = await connection.head();
    const { id, error } = JSON.parse(await connection.body());
    assert.equal(head.status, 502);
    assert.equal(id, 'x');
    assert.equal(error.code, -32000);
    assert.deepEqual(error.data, { reason: 'connect_failed' });
    assert.match(error.message, why);
    if (!server.isUntouched()) assert.doesNotMatch(await (await server.next()).rest(), /POST/, 'nothing was said to it');
}

/* ---- names and authorities ---- */

scene(
    'a_server_is_called_by_its_name_in_tls_and_in_http',
    async world => {
        const { peer, request } = await isServed(world);
        assert.equal(peer.socket.servername, 'localhost');
        assert.equal(peer.socket.alpnProtocol, 'http/1.1');
        assert.equal(request.headers.host, `localhost:${world.server.port}`);
    },
    { fake: secure('named'), url: named, server: { ca: file('named.pem') } }
);

scene(
    'a_server_that_has_a_number_only_is_known_by_it',
    async world => {
        const { peer } = await isServed(world);
        assert.equal(peer.socket.servername, false, 'a number is no name to ask for');
    },
    { fake: secure('numbered'), url: numbered, server: { ca: file('numbered.pem') } }
);

scene(
    'an_authority_that_nobody_trusts_is_refused_when_nothing_is_said_of_it',
    world => isRefused(world, /localhost:\d+ .*self-signed certificate/),
    {
        fake: secure('named'),
        url: named
    }
);

scene('another_authority_is_refused', world => isRefused(world, /localhost:\d+ .*(self-signed|unable to get|verify)/), {
    fake: secure('named'),
    url: named,
    server: { ca: file('other.pem') }
});

scene('a_certificate_for_another_name_is_refused', world => isRefused(world, /localhost:\d+ .*hostname mismatch/i), {
    fake: secure('other'),
    url: named,
    server: { ca: file('other.pem') }
});

scene('a_certificate_for_a_name_is_none_for_a_number', world => isRefused(world, /127\.0\.0\.1:\d+.*IP address mismatch/i), {
    fake: secure('named'),
    url: numbered,
    server: { ca: file('named.pem') }
});

scene('whoever_does_not_want_to_know_may_say_so', isServed, { fake: secure('other'), url: named, server: { verify: false } });

/* ---- pins ---- */

scene('a_pinned_key_is_recognised', isServed, {
    fake: secure('named'),
    url: named,
    server: { ca: file('named.pem'), pin: pinOf('named') }
});

scene('a_pin_stands_for_itself_where_nothing_else_is_checked', isServed, {
    fake: secure('other'),
    url: named,
    server: { verify: false, pin: `sha256/${pinOf('other')}` }
});

scene('another_key_than_the_pinned_one_is_refused', world => isRefused(world, /localhost:\d+ .*pin/), {
    fake: secure('named'),
    url: named,
    server: { ca: file('named.pem'), pin: pinOf('other') }
});

scene('a_pin_does_not_make_up_for_a_wrong_name', world => isRefused(world, /hostname mismatch/i), {
    fake: secure('other'),
    url: named,
    server: { ca: file('other.pem'), pin: pinOf('other') }
});

/* ---- versions ---- */

for (const version of ['TLSv1.2', 'TLSv1.3'])
    scene(
        `a_server_of_${version}_is_served`,
        async world => {
            const { peer } = await isServed(world);
            assert.equal(peer.socket.getProtocol(), version);
        },
        { fake: secure('named', { minVersion: version, maxVersion: version }), url: named, server: { ca: file('named.pem') } }
    );

scene('a_server_of_an_older_tls_is_refused', world => isRefused(world, /localhost:\d+ .*(protocol|version)/), {
    fake: secure('named', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    url: named,
    server: { ca: file('named.pem') }
});

/* ---- sessions ---- */

for (const version of ['TLSv1.2', 'TLSv1.3'])
    scene(
        `the_next_connection_resumes_the_session_of_the_last_(${version})`,
        async world => {
            const { peer } = await isServed(world);
            assert.equal(peer.socket.isSessionReused(), false);
            peer.end();
            await peer.rest();
            assert.equal((await isServed(world)).peer.socket.isSessionReused(), true);
        },
        { fake: secure('named', { maxVersion: version }), url: named, server: { ca: file('named.pem') } }
    );

/* ---- servers that do not speak it well ---- */

scene(
    'a_server_that_does_not_speak_tls_is_refused',
    world => isRefused(world, /localhost:\d+ .*(wrong version number|packet length|record)/),
    {
        fake: () =>
            net.createServer(socket => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n')).on('connection', () => {}),
        url: named,
        server: { ca: file('named.pem') }
    }
);

scene('a_server_that_closes_within_the_handshake_is_refused', world => isRefused(world, /localhost:\d+/), {
    fake: () => net.createServer(socket => socket.on('error', () => {}).once('data', () => socket.destroy())),
    url: named
});

scene(
    'a_server_that_is_silent_within_the_handshake_is_given_up',
    world => isRefused(world, /localhost:\d+.*TLS handshake: no answer within connect_timeout \(300 ms\)/),
    {
        fake: () => net.createServer(socket => socket.on('error', () => {})),
        url: named,
        server: { connect_timeout: '300ms' }
    }
);

/* ---- what travels in it ---- */

scene(
    'links_in_tls_are_kept',
    async ({ client, server }) => {
        const connection = client().send('POST', {}, call(0));
        const peer = await server.next();
        for (let id = 0; id < 50; id++) {
            assert.equal((await peer.request()).body, call(id));
            peer.reply(answerTo(call(id)));
            assert.equal((await connection.head()).status, 200);
            assert.equal(JSON.parse(await connection.body()).id, id);
            connection.send('POST', {}, call(id + 1));
        }
        assert.ok(server.isUntouched());
        connection.close();
    },
    { fake: secure('named'), url: named, server: { ca: file('named.pem') } }
);

scene(
    'large_messages_travel_in_tls_both_ways',
    async ({ client, server }) => {
        const body = rpc('ping', { text: 'é'.repeat(1 << 20) }, 1);
        const connection = client().send('POST', {}, body);
        const peer = await server.next();
        assert.equal((await peer.request()).body, body);
        const answer = answerTo(body, { text: 'é'.repeat(4 << 20) });
        peer.reply(answer);
        assert.equal((await connection.head()).status, 200);
        assert.equal(await connection.body(), answer);
        connection.close();
    },
    { fake: secure('named'), url: named, server: { ca: file('named.pem') } }
);

scene(
    'an_event_of_a_server_in_tls_reaches_the_client_before_the_next_is_sent',
    async ({ client, server }) => {
        const connection = client().send('POST', {}, call());
        const peer = await server.next();
        await peer.request();
        peer.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
        assert.equal((await connection.head()).status, 200);
        for (let n = 0; n < 20; n++) {
            peer.write(`data: ${n}\n\n`);
            assert.equal((await connection.event()).data, String(n));
        }
        peer.end();
        assert.equal(await connection.event(), null);
    },
    { fake: secure('named'), url: named, server: { ca: file('named.pem') } }
);

scene(
    'a_reply_without_length_that_ends_without_a_goodbye_is_seen_to_be_cut',
    async ({ client, server }) => {
        const connection = client().send('POST', {}, call());
        const peer = await server.next();
        await peer.request();
        peer.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"half');
        await connection.head();
        assert.equal((await connection.piece()).toString(), '{"half');
        peer.socket.destroy();
        await assert.rejects(connection.body(), /connection closed while reading/);
    },
    { fake: secure('named'), url: named, server: { ca: file('named.pem') } }
);

for (const [how, leave] of Object.entries({
    says_goodbye: socket => (socket.end(), once(socket, 'finish')),
    goes: socket => (socket.destroy(), once(socket, 'close'))
}))
    scene(
        `a_call_on_a_link_whose_server_${how}_just_before_reaches_another_link_once`,
        async world => {
            const { weir, server } = world;
            const { connection, peer } = await isServed(world);
            await whileWorkerSleeps(weir, async () => {
                await leave(peer.socket);
                connection.send('POST', {}, call('twice?'));
                await new Promise(resolve => connection.socket.write('', resolve));
            });
            const head = connection.head();
            const next = await Promise.race([server.next(), head]);
            assert.ok(!('status' in next), `answered with ${next.status} instead`);
            assert.equal((await next.request()).body, call('twice?'));
            next.reply(answerTo(call('twice?')));
            assert.equal((await head).status, 200);
            assert.ok(server.isUntouched());
        },
        { fake: secure('named'), url: named, server: { ca: file('named.pem') } }
    );

scene(
    'a_call_that_was_read_before_its_link_in_tls_closed_is_never_sent_again',
    async world => {
        for (const leave of ['end', 'destroy']) {
            const { connection, peer } = await isServed(world);
            connection.send('POST', {}, call(7));
            assert.equal((await peer.request()).body, call(7));
            peer.socket[leave]();
            assert.equal((await connection.head()).status, 502);
            assert.equal(JSON.parse(await connection.body()).error.data.reason, 'server_died');
            assert.ok(world.server.isUntouched());
        }
    },
    { fake: secure('named'), url: named, server: { ca: file('named.pem') } }
);

/* ---- names ---- */

scene(
    'while_one_name_is_looked_for_in_vain_others_are_served',
    async ({ weir, client }) => {
        const lost = client();
        const other = client();
        other.target = '/nowhere';
        await Promise.all([lost, other].map(({ socket }) => once(socket, 'connect')));
        const told = [];
        await whileWorkerSleeps(weir, async () => {
            for (const one of [other, lost]) {
                one.send('POST', {}, call('lost'));
                await new Promise(resolve => one.socket.write('', resolve));
            }
        });
        const heads = [lost, other].map(one => one.head().then(({ status }) => told.push(status)));
        await Promise.all(heads);
        assert.deepEqual(told, [404, 502], 'what needs no name does not wait for one');
        assert.match(JSON.parse(await lost.body()).error.message, /no-such-host\.invalid/);
    },
    { url: () => 'https://no-such-host.invalid/', server: { connect_timeout: '300ms' } }
);
