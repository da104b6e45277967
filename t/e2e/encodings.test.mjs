// Content codings of HTTP: whose replies are packed, how requests are unpacked, and what a server's own codings become.
import assert from 'node:assert/strict';
import net from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { connect, kinds } from './lib/clients.mjs';
import { answerTo, scenesWithServers } from './lib/fake.mjs';
import { run } from './lib/process.mjs';
import { Connection, Events, rpc } from './lib/raw.mjs';
import { binary, startWeir } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

const modules = ['http', 'tcp', 'pool', 'compress', 'codec_lz4', 'codec_zstd', 'codec_gzip'];
/* One weir packs for its clients, the other does not. */
const { scene } = scenesWithServers({ modules }, { chain: ['compress'] });
const { scene: plainScene } = scenesWithServers({ modules });

const packs = { gzip: zlib.gzipSync, zstd: zlib.zstdCompressSync };
const unpacks = { gzip: zlib.gunzipSync, zstd: zlib.zstdDecompressSync };
const openers = { gzip: zlib.createGunzip, zstd: zlib.createZstdDecompress };
const codings = Object.keys(packs);

const ping = rpc('ping', undefined, 1);
const large = answerTo(ping, { text: 'the same again, '.repeat(400) });
const JSON_TYPE = 'Content-Type: application/json\r\n';

/* One request on a connection to the server that nobody used before; it answers `body` with these fields. Head and bytes of what the client gets. */
async function answered({ client, server }, accepts, body = large, fields = JSON_TYPE, status = '200 OK') {
    const connection = client().send('POST', { 'accept-encoding': accepts }, ping);
    const peer = await server.next();
    const request = await peer.request();
    peer.reply(body, status, `${fields}Connection: close\r\n`);
    peer.end();
    const head = await connection.head();
    const bytes = await connection.bytes();
    connection.close();
    return { ...head, bytes, request };
}

/* ---- replies ---- */

for (const coding of codings)
    scene(
        `a_reply_is_packed_for_who_takes_${coding}_and_the_connection_goes_on`,
        async ({ client, server }) => {
            const connection = client();
            let peer;
            for (let round = 0; round < 3; round++) {
                connection.send('POST', { 'accept-encoding': coding }, ping);
                peer ??= await server.next();
                const { headers: asked } = await peer.request();
                assert.equal(asked['accept-encoding'], coding, 'the server may pack it itself');
                peer.reply(large);
                const { status, headers } = await connection.head();
                assert.equal(status, 200);
                assert.equal(headers['content-encoding'], coding);
                assert.equal(headers.vary, 'Accept-Encoding');
                assert.equal(headers['content-length'], undefined);
                const bytes = await connection.bytes();
                assert.ok(bytes.length < large.length / 10);
                assert.equal(unpacks[coding](bytes).toString(), large);
            }
            connection.close();
        }
    );

const choices = [
    ['gzip;q=0.5, zstd;q=0.8', 'zstd'],
    ['gzip, zstd;q=0.8', 'gzip'],
    ['gzip, zstd', 'zstd'],
    ['*', 'zstd'],
    ['x-gzip', 'gzip'],
    ['GZIP ; Q=1.000', 'gzip'],
    ['br, gzip;q=0.001', 'gzip'],
    ['*, zstd;q=0', 'gzip'],
    ['identity;q=0, *;q=0.1', 'zstd'],
    ['gzip;q=0', undefined],
    ['gzip;q=0.5, identity', undefined],
    ['*;q=0', undefined],
    ['br, deflate', undefined],
    ['', undefined],
    [undefined, undefined]
];
for (const [accepts, coding] of choices)
    scene(
        `${JSON.stringify(accepts)} in Accept-Encoding chooses ${coding}, and the reply says that it was a choice`,
        async world => {
            const { headers, bytes } = await answered(world, accepts);
            assert.equal(headers['content-encoding'], coding);
            assert.equal(headers.vary, 'Accept-Encoding');
            assert.equal((coding ? unpacks[coding](bytes) : bytes).toString(), large);
        }
    );

const small = answerTo(ping, { text: 'hi' });
const lets = {
    'a small one': [small, JSON_TYPE],
    'an image': [large, 'Content-Type: image/png\r\n'],
    'one that must not be changed': [large, `${JSON_TYPE}Cache-Control: private, No-Transform\r\n`],
    'one with a checksum': [large, `${JSON_TYPE}Content-Digest: sha-256=:abc=:\r\n`],
    'a part of something': [large, `${JSON_TYPE}Content-Range: bytes 0-1/2\r\n`, '206 Partial Content']
};
for (const [name, [body, fields, status]] of Object.entries(lets))
    scene(
        `${name} passes as it is`,
        async world => {
            const { headers, bytes } = await answered(world, 'gzip, zstd', body, fields, status);
            assert.equal(headers['content-encoding'], undefined);
            assert.equal(headers.vary, undefined);
            assert.equal(headers['content-length'], String(body.length));
            assert.equal(bytes.toString(), body);
        }
    );

scene(
    'a_small_one_is_packed_for_who_takes_nothing_as_it_is',
    async world => {
        const { headers, bytes } = await answered(world, 'gzip, identity;q=0', small);
        assert.equal(headers['content-encoding'], 'gzip');
        assert.equal(unpacks.gzip(bytes).toString(), small);
    }
);

scene(
    'what_has_no_body_gets_no_coding',
    async world => {
        for (const status of ['202 Accepted', '204 No Content']) {
            const { headers, bytes } = await answered(world, 'gzip', '', '', status);
            assert.equal(headers['content-encoding'], undefined, status);
            assert.equal(bytes.length, 0);
        }
    }
);

scene(
    'a_strong_etag_becomes_a_weak_one_where_bytes_change',
    async world => {
        const etag = async (accepts, is) => (await answered(world, accepts, large, `${JSON_TYPE}ETag: ${is}\r\n`)).headers.etag;
        assert.equal(await etag('gzip', '"a"'), 'W/"a"');
        assert.equal(await etag('gzip', 'W/"a"'), 'W/"a"');
        assert.equal(await etag(undefined, '"a"'), '"a"');
    }
);

scene(
    'a_reply_that_varies_already_says_so_once',
    async world => {
        const vary = async is => (await answered(world, 'gzip', large, `${JSON_TYPE}Vary: ${is}\r\n`)).headers.vary;
        assert.equal(await vary('Origin, accept-encoding'), 'Origin, accept-encoding');
        assert.equal(await vary('*'), '*');
        assert.equal(await vary('Origin'), 'Origin, Accept-Encoding');
    }
);

scene(
    'what_a_server_packed_is_not_packed_again',
    async world => {
        for (const coding of [...codings, 'br']) {
            const body = coding === 'br' ? zlib.brotliCompressSync(large) : packs[coding](large);
            const connection = world.client().send('POST', { 'accept-encoding': 'gzip, zstd, br' }, ping);
            const peer = await world.server.next();
            await peer.request();
            peer.write(`HTTP/1.1 200 OK\r\n${JSON_TYPE}Content-Encoding: ${coding}\r\nETag: "a"\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`);
            peer.write(body);
            const { headers } = await connection.head();
            assert.equal(headers['content-encoding'], coding);
            assert.equal(headers['content-length'], String(body.length));
            assert.equal(headers.etag, '"a"');
            assert.deepEqual(await connection.bytes(), body);
            connection.close();
        }
    }
);

for (const [name, scenery] of Object.entries({ compress: scene, nothing: plainScene }))
    scenery(
        `what_a_client_does_not_take_is_unpacked_for_it_(${name} in the listener's chain)`,
        async ({ client, server }) => {
            for (const coding of codings) {
                const connection = client().send('POST', { 'accept-encoding': 'identity' }, ping);
                const peer = await server.next();
                await peer.request();
                const body = packs[coding](large);
                peer.write(`HTTP/1.1 200 OK\r\n${JSON_TYPE}Content-Encoding: ${coding}\r\nETag: "a"\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`);
                for (let at = 0; at < body.length; at += 20) peer.write(body.subarray(at, at + 20));
                const { headers } = await connection.head();
                assert.equal(headers['content-encoding'], undefined);
                assert.equal(headers.vary, 'Accept-Encoding');
                assert.equal(headers.etag, 'W/"a"');
                assert.equal(await connection.body(), large);
                connection.close();
            }
        }
    );

/* ---- events ---- */

/* The events of a body, unpacked as it comes. */
function unpacked(connection, coding) {
    const opened = openers[coding]();
    const events = new Events();
    const ready = [];
    let wake, broken;
    opened.on('data', text => {
        ready.push(...events.push(text.toString()));
        wake?.();
    });
    /* A body that breaks off is told to who waits for an event; a scene that has its events may leave before the end. */
    opened.on('error', error => {
        broken = error;
        wake?.();
    });
    (async () => {
        for (let piece; (piece = await connection.piece()) !== null; ) opened.write(piece);
        opened.end();
    })().catch(error => opened.destroy(error));
    return async () => {
        for (; ready.length === 0; await new Promise(resolve => (wake = resolve))) if (broken) throw broken;
        return ready.shift();
    };
}

for (const coding of codings)
    scene(
        `an_event_is_with_the_client_before_the_next_one_is_sent_(${coding})`,
        async ({ client, server }) => {
            const connection = client().send('POST', { 'accept-encoding': coding }, ping);
            const peer = await server.next();
            await peer.request();
            peer.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
            const chunk = text => peer.write(`${text.length.toString(16)}\r\n${text}\r\n`);
            const { headers } = await connection.head();
            assert.equal(headers['content-encoding'], coding);
            assert.equal(headers.vary, 'Accept-Encoding');
            const next = unpacked(connection, coding);
            for (let i = 0; i < 40; i++) {
                const note = rpc('notifications/progress', { progress: i, text: 'x'.repeat(i % 7 === 0 ? 30000 : 9) });
                chunk(`data: ${note}\n\n`);
                assert.equal((await next()).data, note);
            }
            chunk(`data: ${answerTo(ping)}\n\n`);
            peer.write('0\r\n\r\n');
            assert.equal((await next()).data, answerTo(ping));
            connection.close();
        }
    );

scene(
    'streams_beyond_max_open_go_as_they_are_until_one_ends',
    async ({ client, server }) => {
        const stream = async free => {
            const connection = client().send('POST', { 'accept-encoding': 'gzip' }, ping);
            const peer = free ?? (await server.next());
            await peer.request();
            peer.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
            return { connection, peer, coding: (await connection.head()).headers['content-encoding'] };
        };
        const streams = [await stream(), await stream(), await stream()];
        assert.deepEqual(
            streams.map(({ coding }) => coding),
            ['gzip', 'gzip', undefined]
        );
        streams[0].peer.write('0\r\n\r\n');
        await streams[0].connection.bytes();
        streams.push(await stream(streams[0].peer));
        assert.equal(streams[3].coding, 'gzip');
        for (const { connection } of streams) connection.close();
    },
    { listener: { chain: [{ compress: { max_open: 2 } }] } }
);

scene(
    'a_stream_that_breaks_off_is_told_as_its_last_event_and_packed_like_the_others',
    async ({ client, server }) => {
        const connection = client().send('POST', { 'accept-encoding': 'gzip' }, ping);
        const peer = await server.next();
        await peer.request();
        peer.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: {\r\n');
        await connection.head();
        peer.end();
        const text = unpacks.gzip(await connection.bytes()).toString();
        const { error, id } = JSON.parse(text.match(/data: (.*)\n\n$/)[1]);
        assert.equal(id, 1);
        assert.equal(error.data.reason, 'server_died');
    }
);

/* ---- clients as people have them ---- */

const worldWithDemo = min_size =>
    startWeir(
        JSON.stringify({
            modules: [...modules, 'stdio'],
            admin: { listen: '127.0.0.1:0' },
            listeners: { edge: { transport: 'http', listen: '127.0.0.1:0', routes: [{ path: '/mcp', upstream: 'demo' }], chain: [{ compress: { min_size } }] } },
            upstreams: { demo: { transport: 'stdio', command: demo.stdio, chain: ['pool'] } }
        })
    );

test('official_clients_fetch_and_curl_read_what_is_packed', async () => {
    const weir = await worldWithDemo(1);
    const folder = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
    try {
        const url = weir.url('edge', '/mcp');
        for (const kind of Object.keys(kinds)) {
            const { client, close } = await connect(kind, url);
            const { tools } = await client.listTools();
            assert.ok(tools.length > 0);
            await close();
        }

        const hello = rpc('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } }, 7);
        const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
        const fetched = await fetch(url, { method: 'POST', headers, body: hello });
        assert.equal(fetched.headers.get('content-encoding'), 'gzip');
        const text = await fetched.text();
        assert.equal(JSON.parse(text).id, 7, text);

        const asked = [...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]), '-d', hello, url];
        const said = await run('curl', ['-sS', '--max-time', '60', '--compressed', '-D', join(folder, 'head'), ...asked]);
        assert.equal(JSON.parse(said.stdout).id, 7, said.output);
        const old = await run('curl', ['-sS', '--max-time', '60', '--compressed', '--http1.0', '-i', ...asked]);
        assert.doesNotMatch(old.stdout, /content-encoding/i);
        assert.match(old.stdout, /"id":7/);

        const { listeners } = await weir.status();
        const { frames } = listeners.edge;
        assert.ok(frames.batches_compressed > 3);
        assert.equal(frames.compression_ratio, frames.bytes_before_compression / frames.bytes_after_compression);
    } finally {
        rmSync(folder, { recursive: true });
        await weir.stop();
    }
});

/* ---- requests ---- */

for (const coding of [...codings, 'x-gzip', 'identity'])
    for (const [name, scenery] of Object.entries({ 'a listener without compress': plainScene, 'one with it': scene }))
        scenery(
            `a_request_in_${coding}_reaches_its_server_as_it_was_meant (${name})`,
            async ({ client, server }) => {
                const body = rpc('ping', { text: 'ü'.repeat(50000) }, 1);
                const bytes = coding === 'identity' ? body : packs[coding.replace('x-', '')](body);
                const connection = client();
                connection.send('POST', { 'content-encoding': coding }, bytes);
                connection.send('POST', {}, ping); // right behind it
                const peer = await server.next();
                const seen = await peer.request();
                assert.equal(seen.body, body);
                assert.equal(seen.headers['content-encoding'], undefined);
                assert.equal(seen.headers['content-length'], String(Buffer.byteLength(body)));
                peer.reply(small);
                assert.equal((await connection.head()).status, 200);
                await connection.body();
                assert.equal((await peer.request()).body, ping);
                peer.reply(small);
                assert.equal((await connection.head()).status, 200);
                connection.close();
            }
        );

scene('a_packed_request_may_come_in_chunks', async ({ client, server }) => {
    const bytes = packs.gzip(ping);
    const connection = client();
    connection.write(
        `POST ${connection.target} HTTP/1.1\r\nHost: ${connection.host}\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n`
    );
    for (const byte of bytes) connection.write(Buffer.from([0x31, 13, 10, byte, 13, 10]));
    connection.write('0\r\n\r\n');
    const peer = await server.next();
    assert.equal((await peer.request()).body, ping);
    peer.reply(small);
    assert.equal((await connection.head()).status, 200);
    connection.close();
});

const bomb = { gzip: packs.gzip(Buffer.alloc(64 << 20)), zstd: packs.zstd(Buffer.alloc(64 << 20)) };
const refusals = {
    'a coding that is not there': [{ 'content-encoding': 'br' }, ping, 415, 'gzip, zstd'],
    'a coding that HTTP does not have': [{ 'content-encoding': 'lz4' }, ping, 415, 'gzip, zstd'],
    'one coding on another': [{ 'content-encoding': 'gzip, gzip' }, packs.gzip(packs.gzip(ping)), 415, 'gzip, zstd'],
    'a wrong type': [{ 'content-type': 'text/plain' }, ping, 415, undefined],
    'what is not packed at all': [{ 'content-encoding': 'gzip' }, ping, 400],
    'garbage after a magic': [{ 'content-encoding': 'zstd' }, Buffer.from('28b52ffd0102030405', 'hex'), 400],
    'half a frame': [{ 'content-encoding': 'zstd' }, packs.zstd(large).subarray(0, -3), 400],
    'bytes after the frame': [{ 'content-encoding': 'gzip' }, Buffer.concat([packs.gzip(ping), Buffer.from('more')]), 400],
    'nothing, packed': [{ 'content-encoding': 'gzip' }, packs.gzip(''), 400],
    'a bomb of gzip': [{ 'content-encoding': 'gzip' }, bomb.gzip, 413],
    'a bomb of zstd': [{ 'content-encoding': 'zstd' }, bomb.zstd, 413],
    'a bomb that does not tell its size': [{ 'content-encoding': 'zstd' }, zlib.zstdCompressSync(Buffer.alloc(64 << 20), { params: { [zlib.constants.ZSTD_c_contentSizeFlag]: 0 } }), 413]
};
for (const [name, [headers, body, status, accepts]] of Object.entries(refusals))
    scene(`${name} in a request gets ${status}, and the connection goes on`, async ({ client, server }) => {
        const connection = client().send('POST', headers, body);
        const head = await connection.head();
        assert.equal(head.status, status, await connection.body());
        assert.equal(head.headers['accept-encoding'], accepts);
        connection.send('POST', {}, ping);
        const peer = await server.next();
        assert.equal((await peer.request()).body, ping);
        connection.close();
    });

/* ---- servers ---- */

const packsRequests = { chain: [{ compress: { codec: 'gzip' } }] };

scene(
    'requests_are_packed_for_a_server_where_that_is_configured_and_pays',
    async ({ client, server }) => {
        const connection = client();
        const body = rpc('ping', { text: 'and again '.repeat(1000) }, 1);
        connection.send('POST', {}, body);
        const peer = await server.next();
        const { first, headers } = await peer.lines('request line');
        assert.match(first, /^POST /);
        assert.equal(headers['content-encoding'], 'gzip');
        peer.frame({ kind: 'length', left: Number(headers['content-length']) });
        assert.equal(unpacks.gzip(await peer.bytes()).toString(), body);
        peer.reply(small);
        assert.equal((await connection.head()).status, 200);
        await connection.body();
        connection.send('POST', {}, ping);
        const plain = await peer.request();
        assert.equal(plain.headers['content-encoding'], undefined);
        assert.equal(plain.body, ping);
        connection.close();
    },
    packsRequests
);

/* A client that speaks lines: weir has to read what the server answers. */
function lines(url) {
    const socket = net.connect(new URL(url).port, '127.0.0.1');
    let text = '';
    let wake;
    socket.on('data', bytes => {
        text += bytes;
        wake?.();
    });
    return {
        say: line => socket.write(`${line}\n`),
        next: async () => {
            while (!text.includes('\n')) await new Promise(resolve => (wake = resolve));
            const end = text.indexOf('\n');
            const line = text.slice(0, end);
            text = text.slice(end + 1);
            return line;
        },
        close: () => socket.destroy()
    };
}

const asked = (name, play, chain = []) =>
    plainScene(
        name,
        async ({ server, url }) => {
            const client = lines(url);
            client.say(ping);
            const peer = await server.next();
            const request = await peer.request();
            try {
                await play({ client, peer, request });
            } finally {
                client.close();
            }
        },
        { listener: { transport: 'tcp' }, path: '/', chain }
    );

for (const coding of codings) {
    asked(`a_reply_in_${coding}_is_unpacked_where_it_has_to_be_read`, async ({ client, peer, request }) => {
        assert.equal(request.headers['accept-encoding'], 'identity');
        const body = packs[coding](large);
        peer.write(`HTTP/1.1 200 OK\r\n${JSON_TYPE}Content-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n\r\n`);
        for (let at = 0; at < body.length; at += 7) peer.write(body.subarray(at, at + 7));
        assert.equal(await client.next(), large);
    });

    asked(
        `events_in_${coding}_are_with_the_client_before_the_next_one_is_sent`,
        async ({ client, peer, request }) => {
            assert.equal(request.headers['accept-encoding'], 'gzip, zstd', 'asked for, where the chain packs');
            const packer = coding === 'gzip' ? zlib.createGzip() : zlib.createZstdCompress();
            packer.on('data', bytes => peer.write(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])));
            peer.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: ${coding}\r\nTransfer-Encoding: chunked\r\n\r\n`);
            for (let i = 0; i < 20; i++) {
                const note = rpc('notifications/message', { level: 'info', data: 'x'.repeat(i * 1000) });
                packer.write(`data: ${note}\n\n`);
                packer.flush();
                assert.equal(await client.next(), note);
            }
            packer.end(`data: ${answerTo(ping)}\n\n`);
            assert.equal(await client.next(), answerTo(ping));
        },
        ['compress']
    );
}

const badReplies = {
    'a coding that is not there': ['br', zlib.brotliCompressSync(large), /br, which nobody asked for/],
    'garbage after a magic': ['gzip', Buffer.from('1f8b0800000000000003deadbeef', 'hex'), /gzip: /],
    'what is not packed at all': ['zstd', Buffer.from(large), /zstd: /],
    'half a frame': ['gzip', packs.gzip(large).subarray(0, -9), /gzip: it breaks off/],
    'a bomb': ['gzip', bomb.gzip, /max_message/],
    'another bomb': ['zstd', bomb.zstd, /max_message/]
};
for (const [name, [coding, body, why]] of Object.entries(badReplies))
    asked(`${name} in a reply that has to be read is a bad reply`, async ({ client, peer }) => {
        peer.write(`HTTP/1.1 200 OK\r\n${JSON_TYPE}Content-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n\r\n`);
        peer.write(body);
        const { id, error } = JSON.parse(await client.next());
        assert.equal(id, 1);
        assert.equal(error.data.reason, 'bad_reply');
        assert.match(error.message, why);
    });

/* ---- numbers ---- */

test('what_is_packed_and_unpacked_is_counted', async () => {
    const weir = await worldWithDemo(1024);
    try {
        const url = weir.url('edge', '/mcp');
        const hello = rpc('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } }, 1);
        const list = rpc('tools/list', {}, 2);
        const ask = async (body, headers) => {
            const connection = new Connection(url).send('POST', headers, body);
            const head = await connection.head();
            const bytes = await connection.bytes();
            connection.close();
            return { ...head, bytes };
        };
        const { headers: first } = await ask(hello, { 'accept-encoding': 'gzip' });
        assert.equal(first['content-encoding'], undefined, 'smaller than min_size');
        const session = { 'mcp-session-id': first['mcp-session-id'], 'accept-encoding': 'gzip' };
        await ask(rpc('notifications/initialized'), session);
        const packed = packs.gzip(list);
        const { bytes } = await ask(packed, { ...session, 'content-encoding': 'gzip' });
        const { frames } = (await weir.status()).listeners.edge;
        assert.equal(frames.batches_compressed, 1);
        assert.equal(frames.bytes_before_compression, unpacks.gzip(bytes).length);
        assert.equal(frames.bytes_after_compression, bytes.length);
        assert.equal(frames.compression_ratio, unpacks.gzip(bytes).length / bytes.length);
        assert.equal(frames.batches_in, 1);
        assert.equal(frames.bytes_in, packed.length);
        assert.equal(frames.bytes_in_expanded, list.length);
    } finally {
        await weir.stop();
    }
});

/* ---- configuration ---- */

const text = (chain, more = {}, loaded = modules) => JSON.stringify({
    modules: loaded,
    listeners: { edge: { transport: 'http', listen: '127.0.0.1:0', routes: [{ path: '/mcp', upstream: 'up' }], chain, ...more } },
    upstreams: { up: { transport: 'http', servers: [{ url: 'http://127.0.0.1:9/mcp' }], chain: ['pool'] } }
});
const refused = {
    'a codec that HTTP does not have': [[{ compress: { codec: 'lz4' } }], {}, /listener edge: compress: codec: lz4 is no content coding of HTTP/],
    'a coding that is not there': [[{ compress: { codings: ['br'] } }], {}, /codings: no codec that is loaded has the content coding br/],
    'adaptive': [[{ compress: { adaptive: true } }], {}, /adaptive: on HTTP the peer chooses/],
    'a level that is none': [[{ compress: { codec: 'gzip', level: 12 } }], {}, /level 12: gzip has levels from 1 to 9/],
    'two of them': [['compress', 'compress'], {}, /only one module of a chain offers content codings/],
    'no codec that fits': [['compress'], {}, /no codec with a content coding of HTTP is loaded; add codec_gzip/, ['http', 'pool', 'compress', 'codec_lz4']],
    'no codec at all': [['compress'], {}, /no codec is loaded; add one to `modules:`/, ['http', 'pool', 'compress']]
};
for (const [name, [chain, more, story, loaded]] of Object.entries(refused))
    test(`compress on HTTP: ${name} is refused, and the error says why`, async () => {
        const folder = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
        try {
            writeFileSync(join(folder, 'weir.yaml'), text(chain, more, loaded));
            const { code, stderr } = await run(binary, ['-t', '-c', join(folder, 'weir.yaml')]);
            assert.equal(code, 1, stderr);
            assert.match(stderr, story);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });
