// HTTP's corners on the connect side: what servers may do, and what reaches the client.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { answerTo, scenesWithServers } from './lib/fake.mjs';
import { rpc } from './lib/raw.mjs';
import { whileWorkerSleeps } from './lib/weir.mjs';

const { scene, world } = scenesWithServers();

const ping = (id = 1) => rpc('ping', undefined, id);
const call = (id = 1) => rpc('tools/call', { name: 'spend', arguments: {} }, id);

/* One request through weir, up to the point where the server has read it. */
async function ask({ client, server }, body = ping(), headers = {}) {
    const connection = client().send('POST', headers, body);
    const peer = await server.next();
    const request = await peer.request();
    return { connection, peer, request };
}

async function fails(connection, status, reason, id = 1) {
    const head = await connection.head();
    const text = await connection.body();
    assert.equal(head.status, status, text);
    const { error, ...rest } = JSON.parse(text);
    assert.deepEqual(rest, { jsonrpc: '2.0', id });
    assert.equal(error.code, -32000);
    assert.deepEqual(error.data, { reason });
    return error.message;
}

/* ---- what a server is told ---- */

scene('a_request_arrives_as_it_was_meant', async ({ client, server }) => {
    const body = rpc('tools/call', { name: 'é', _meta: { traceparent: '00-1-2-03' } }, '\u0001');
    const headers = {
        accept: 'text/event-stream, application/json',
        Authorization: 'Bearer a.b.c',
        'MCP-Protocol-Version': '2025-11-25',
        'Last-Event-ID': '7',
        'X-Odd': '  \t"q" ; é ',
        Cookie: 'a=b; c',
        traceparent: '00-aa-bb-01',
        'Accept-Language': 'de',
        'content-type': 'application/json; charset=utf-8'
    };
    const { connection, peer, request } = await ask({ client, server }, body, headers);
    assert.equal(request.method, 'POST');
    assert.equal(request.target, '/server');
    assert.equal(request.body, body);
    assert.equal(request.headers.host, `127.0.0.1:${server.port}`);
    for (const [name, value] of Object.entries(headers))
        assert.deepEqual(
            request.fields.filter(([is]) => is.toLowerCase() === name.toLowerCase()).map(([, is]) => Buffer.from(is, 'latin1').toString()),
            [value.trim()],
            name
        );
    peer.reply(answerTo(body));
    assert.equal((await connection.head()).status, 200);
});

scene(
    'a_query_goes_with_its_request',
    async ({ server, url, client }) => {
        const connection = client();
        connection.target += '?a=1&b=%20';
        connection.send('POST', {}, ping());
        assert.equal((await (await server.next()).request()).target, '/server?fixed=1&a=1&b=%20', url);
        connection.close();
    },
    { url: port => `http://127.0.0.1:${port}/server?fixed=1` }
);

scene('what_belongs_to_one_connection_stays_on_it', async ({ client, server }) => {
    const { connection, peer, request } = await ask({ client, server }, ping(), {
        Connection: 'X-Mine, keep-alive , x-also',
        'X-Mine': '1',
        'X-Also': '1',
        'Keep-Alive': 'timeout=5',
        TE: 'trailers',
        Trailer: 'X',
        Upgrade: 'h2c',
        'Proxy-Connection': 'keep-alive',
        'Proxy-Authorization': 'Basic eA==',
        'X-Kept': '1'
    });
    const dropped = ['x-mine', 'x-also', 'connection', 'keep-alive', 'te', 'trailer', 'upgrade', 'proxy-connection', 'proxy-authorization'];
    for (const name of dropped) assert.equal(request.headers[name], undefined, name);
    assert.equal(request.headers['x-kept'], '1');
    peer.reply(
        answerTo(ping()),
        '200 Fine',
        'Content-Type: application/json\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n' +
            'Upgrade: h2c\r\nTrailer: X\r\nX-Passed: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nServer: theirs\r\nDate: then\r\n'
    );
    const { headers, fields, reason } = await connection.head();
    for (const name of ['x-theirs', 'keep-alive', 'proxy-authenticate', 'upgrade', 'trailer', 'connection'])
        assert.equal(headers[name], undefined, name);
    assert.equal(reason, 'Fine');
    assert.equal(headers['x-passed'], '1');
    assert.equal(headers.server, 'theirs');
    assert.equal(headers.date, 'then');
    assert.deepEqual(
        fields.filter(([name]) => name === 'Set-Cookie'),
        [
            ['Set-Cookie', 'a'],
            ['Set-Cookie', 'b']
        ]
    );
    assert.equal(await connection.body(), answerTo(ping()));
});

const forwardedScene = (forwarded, wanted) =>
    scene(
        `a_server_is_told_who_asks_(${forwarded})`,
        async ({ client, server, url }) => {
            const { host } = new URL(url);
            const told = {
                'X-Forwarded-For': '10.9.8.7',
                'X-Forwarded-Host': 'spoof',
                'X-Forwarded-Proto': 'https',
                Forwarded: 'for=10.9.8.7'
            };
            const { connection, request } = await ask({ client, server }, ping(), told);
            const names = ['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'forwarded'];
            assert.deepEqual(
                names.map(name => request.headers[name]),
                wanted(host)
            );
            connection.close();
        },
        { upstream: { forwarded } }
    );

const x = host => ['10.9.8.7, 127.0.0.1', host, 'http'];
const rfc = host => `for=10.9.8.7, for=127.0.0.1;host="${host}";proto=http`;
forwardedScene('x_forwarded', host => [...x(host), 'for=10.9.8.7']);
forwardedScene('forwarded', host => ['10.9.8.7', 'spoof', 'https', rfc(host)]);
forwardedScene('both', host => [...x(host), rfc(host)]);
forwardedScene('off', () => ['10.9.8.7', 'spoof', 'https', 'for=10.9.8.7']);

scene(
    'the_host_of_the_client_is_sent_where_that_is_wanted',
    async ({ client, server, url }) => {
        const { connection, request } = await ask({ client, server });
        assert.equal(request.headers.host, new URL(url).host);
        connection.close();
    },
    { upstream: { preserve_host: true } }
);

/* ---- what a server answers ---- */

const whole = { 'Content-Type': 'application/json' };
const fieldsOf = fields =>
    Object.entries(fields)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('');

scene('a_chunked_reply_is_passed_on', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    const body = answerTo(ping(), { text: 'x'.repeat(100_000) });
    const pieces = body.match(/[^]{1,1111}/g).map(piece => `${piece.length.toString(16)};ext=1\r\n${piece}\r\n`);
    peer.write(`HTTP/1.1 200 OK\r\n${fieldsOf(whole)}Transfer-Encoding: chunked\r\n\r\n${pieces.join('')}0\r\nX-Trailer: 1\r\n\r\n`);
    const head = await connection.head();
    assert.equal(head.headers['transfer-encoding'], 'chunked');
    assert.equal(await connection.body(), body);
    connection.send('POST', {}, ping(2));
    assert.equal((await peer.request()).body, ping(2), 'the same link again');
    peer.reply(answerTo(ping(2)));
    assert.equal((await connection.head()).headers['content-length'], String(answerTo(ping(2)).length));
});

scene('a_reply_split_at_every_byte_is_one_reply', async ({ client, server }) => {
    const connection = client();
    const reply = `HTTP/1.1 200 OK\r\n${fieldsOf(whole)}Transfer-Encoding: chunked\r\n\r\n5\r\n{"js"\r\n1;a\r\n:\r\n3\r\n1}\n\r\n0\r\nT: 1\r\n\r\n`;
    connection.send('POST', {}, ping());
    const peer = await server.next();
    await peer.request();
    peer.socket.setNoDelay();
    for (let cut = 1; cut < reply.length; cut++) {
        peer.write(reply.slice(0, cut));
        await turn(world.weir);
        peer.write(reply.slice(cut));
        assert.equal((await connection.head()).status, 200);
        assert.equal(await connection.body(), '{"js":1}\n', `cut at ${cut}`);
        connection.send('POST', {}, ping());
        await peer.request();
    }
    connection.close();
});

/* When this returns, the worker has read all that was written before: a request that it refuses by itself has passed its loop. */
let passer;
async function turn(weir) {
    passer ??= new (await import('./lib/raw.mjs')).Connection(weir.url('all', '/nowhere'));
    for (let n = 0; n < 2; n++) {
        passer.send('POST', {}, ping());
        assert.equal((await passer.head()).status, 404);
        await passer.body();
    }
}

scene('a_reply_without_a_length_ends_with_its_connection', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    peer.write(`HTTP/1.1 200 OK\r\n${fieldsOf(whole)}\r\n{"a`);
    const head = await connection.head();
    assert.equal(head.headers['transfer-encoding'], 'chunked');
    assert.equal((await connection.piece()).toString(), '{"a');
    peer.write('":1}');
    peer.end();
    assert.equal(await connection.body(), '":1}');
    connection.send('POST', {}, ping());
    await (await server.next()).request();
    connection.close();
});

scene('a_reply_of_http_1_0_is_understood', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    peer.write(`HTTP/1.0 200 OK\r\n${fieldsOf(whole)}\r\n{}`);
    peer.end();
    assert.equal((await connection.head()).headers['transfer-encoding'], 'chunked');
    assert.equal(await connection.body(), '{}');
});

scene('a_client_of_http_1_0_gets_a_reply_without_length_until_the_end', async ({ client, server }) => {
    const connection = client();
    connection.write(
        `POST ${connection.target} HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: ${ping().length}\r\n\r\n${ping()}`
    );
    const peer = await server.next();
    await peer.request();
    peer.write(`HTTP/1.1 200 OK\r\n${fieldsOf(whole)}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n`);
    const { headers } = await connection.head();
    assert.equal(headers.connection, 'close');
    assert.equal(headers['transfer-encoding'], undefined);
    assert.equal((await connection.piece()).toString(), '{}');
    peer.write('0\r\n\r\n');
    assert.equal(await connection.body(), '');
});

scene('an_event_reaches_the_client_before_the_next_is_sent', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    peer.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    assert.equal((await connection.head()).headers['content-type'], 'text/event-stream', 'before there is an event');
    for (let n = 0; n < 100; n++) {
        const text = `id: ${n}\ndata: {"n":${n}}\n\n`;
        peer.write(`${text.length.toString(16)}\r\n${text}\r\n`);
        assert.deepEqual(await connection.event(), { id: String(n), data: `{"n":${n}}` });
    }
    peer.write('0\r\n\r\n');
    assert.equal(await connection.event(), null);
});

scene('an_event_stream_without_length_is_passed_on_as_it_comes', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    peer.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: message\r\nda');
    assert.equal((await connection.head()).status, 200);
    peer.write('ta: 1\r\n\r\n');
    assert.deepEqual(await connection.event(), { event: 'message', data: '1' });
    peer.end();
    assert.equal(await connection.event(), null);
});

for (const status of ['202 Accepted', '204 No Content', '304 Not Modified'])
    scene(`a_reply_without_a_body_(${status.slice(0, 3)})_ends_with_its_head`, async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server });
        const length = status.startsWith('202') ? 'Content-Length: 0\r\n' : '';
        for (const id of [2, 3]) {
            peer.write(`HTTP/1.1 ${status}\r\nX: ${id}\r\n${length}\r\n`);
            const head = await connection.head();
            assert.equal(`${head.status} ${head.reason}`, status);
            assert.equal(head.headers.x, String(id));
            assert.equal(head.headers['content-length'], (length && '0') || undefined);
            assert.equal(head.headers['transfer-encoding'], undefined);
            assert.equal(await connection.body(), '');
            connection.send('POST', {}, ping(id));
            assert.equal((await peer.request()).body, ping(id), 'the link is used again');
        }
        connection.close();
    });

scene('what_a_server_says_in_between_is_read_over', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    peer.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n');
    peer.write('HTTP/1.1 102 Processing\r\n\r\n');
    peer.reply(answerTo(ping()));
    const { status, headers } = await connection.head();
    assert.equal(status, 200);
    assert.equal(headers.link, undefined);
    assert.equal(await connection.body(), answerTo(ping()));
});

scene('a_status_of_the_server_is_the_clients', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    for (const status of ['201 Made', '299 Odd', '400 Bad', '401 Who', '404 Gone', '418 I am', '500 Oops', '599 X']) {
        peer.reply('text', status, 'Content-Type: text/plain\r\nWWW-Authenticate: Bearer x="y"\r\n');
        const head = await connection.head();
        assert.equal(`${head.status} ${head.reason}`, status);
        assert.equal(head.headers['www-authenticate'], 'Bearer x="y"');
        assert.equal(await connection.body(), 'text');
        connection.send('POST', {}, ping());
        await peer.request();
    }
    connection.close();
});

scene('a_large_reply_passes_whole', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    const body = answerTo(ping(), { text: 'é'.repeat(3 << 20) });
    peer.reply(body);
    await connection.head();
    assert.equal(await connection.body(), body);
});

scene('the_verbs_of_streamable_http_pass', async ({ client, server }) => {
    const get = client().send('GET', { accept: 'text/event-stream', 'last-event-id': 'abc-1' });
    const stream = await server.next();
    const asked = await stream.request();
    assert.equal(asked.method, 'GET');
    assert.equal(asked.headers['last-event-id'], 'abc-1');
    assert.equal(asked.headers['content-length'], undefined);
    stream.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: abc-2\ndata: {}\n\n');
    assert.equal((await get.head()).status, 200);
    assert.deepEqual(await get.event(), { id: 'abc-2', data: '{}' });
    const end = client().send('DELETE');
    const peer = await server.next();
    assert.equal((await peer.request()).method, 'DELETE');
    peer.reply('', '405 Method Not Allowed', 'Allow: POST\r\n');
    const { status, headers } = await end.head();
    assert.equal(status, 405);
    assert.equal(headers.allow, 'POST', 'the server knows best what it allows');
    stream.end();
    assert.equal(await get.event(), null);
    end.close();
});

/* ---- what goes wrong ---- */

const broken = {
    garbage: 'SSH-2.0-OpenSSH_9.2\r\n',
    garbage_that_begins_well: 'HTTP/1.1 OK\r\n\r\n',
    another_version: 'HTTP/2.0 200 OK\r\n\r\n',
    a_status_that_is_none: 'HTTP/1.1 999 X\r\n\r\n',
    two_lengths: 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}',
    a_length_and_chunks: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    a_coding_nobody_knows: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    a_folded_field: 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n',
    another_protocol: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
    a_head_too_large: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`,
    a_head_too_large_without_an_end: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`,
    too_many_fields: `HTTP/1.1 200 OK\r\n${'X: 1\r\n'.repeat(200)}\r\n`
};

for (const [what, bytes] of Object.entries(broken))
    scene(`a_server_that_answers_with_${what}_is_a_bad_reply`, async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server }, call('x'));
        peer.write(bytes);
        await fails(connection, 502, 'bad_reply', 'x');
        await peer.rest();
        assert.ok(server.isUntouched(), 'nothing is asked again');
    });

scene('a_server_that_closes_instead_of_answering_has_died', async ({ client, server }) => {
    for (const end of ['end', 'cut']) {
        const { connection, peer } = await ask({ client, server }, call());
        peer[end]();
        assert.match(await fails(connection, 502, 'server_died'), /127\.0\.0\.1:\d+/);
        assert.ok(server.isUntouched(), 'a call that may have been acted on is not sent again');
    }
});

scene('a_server_that_closes_within_its_head_has_died', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server }, call());
    peer.write('HTTP/1.1 200 OK\r\nContent-');
    peer.end();
    await fails(connection, 502, 'server_died');
    assert.ok(server.isUntouched());
});

for (const [what, framing] of Object.entries({
    with_its_length: 'Content-Length: 10\r\n\r\n{"a"',
    in_chunks: 'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n'
}))
    scene(`a_reply_cut_in_the_middle_(${what})_is_seen_to_be_cut`, async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server }, call());
        peer.write(`HTTP/1.1 200 OK\r\n${fieldsOf(whole)}${framing}`);
        await connection.head();
        peer.end();
        await assert.rejects(connection.body(), /connection closed while reading/);
        assert.ok(server.isUntouched());
    });

scene('chunks_that_break_off_into_garbage_are_seen_to_be_cut', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server }, call());
    peer.write(`HTTP/1.1 200 OK\r\n${fieldsOf(whole)}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n`);
    await connection.head();
    await assert.rejects(connection.body(), /connection closed while reading/);
    await peer.rest();
});

for (const [cause, end] of Object.entries({ server_died: peer => peer.end(), bad_reply: peer => peer.write('nonsense\r\n') }))
    scene(`a_stream_that_breaks_ends_with_an_error_(${cause})`, async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server }, call('s'));
        const text = 'data: {"jsonrpc":"2.0","method":"notifications/message"}\n\ndata: {"half';
        peer.write(
            `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${text.length.toString(16)}\r\n${text}\r\n`
        );
        assert.equal((await connection.head()).status, 200);
        assert.match((await connection.event()).data, /notifications/);
        end(peer);
        let event;
        while ((event = await connection.event()) && !/"error"/.test(event.data));
        const { id, error } = JSON.parse(event.data);
        assert.equal(id, 's');
        assert.equal(error.code, -32000);
        assert.deepEqual(error.data, { reason: cause });
        assert.equal(await connection.event(), null, 'and the stream has an end');
    });

scene(
    'a_server_that_refuses_connections_is_named',
    async ({ client }) => {
        assert.match(await fails(client().send('POST', {}, call()), 502, 'connect_failed'), /127\.0\.0\.1:1\b.*refused/);
    },
    { url: () => 'http://127.0.0.1:1/' }
);

scene(
    'a_name_that_does_not_resolve_is_named',
    async ({ client }) => {
        assert.match(await fails(client().send('POST', {}, call()), 502, 'connect_failed'), /no-such-host\.invalid/);
    },
    { url: () => 'http://no-such-host.invalid/', server: { connect_timeout: '300ms' } }
);

scene(
    'a_server_that_never_answers_is_given_up',
    async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server }, call());
        assert.match(await fails(connection, 504, 'timeout'), /reply_timeout \(50 ms\)/);
        await peer.rest();
        assert.ok(server.isUntouched());
    },
    { upstream: { reply_timeout: '50ms' } }
);

scene(
    'a_reply_that_stalls_is_given_up',
    async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server }, call());
        peer.write(`HTTP/1.1 200 OK\r\n${fieldsOf(whole)}Content-Length: 10\r\n\r\n{"a"`);
        await connection.head();
        await assert.rejects(connection.body(), /connection closed while reading/);
        await peer.rest();
    },
    { upstream: { reply_timeout: '500ms' } }
);

scene(
    'a_stream_may_be_silent_for_as_long_as_it_likes',
    async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server }, call());
        peer.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
        await connection.head();
        const other = client().send('POST', {}, call(2));
        const late = await server.next();
        await late.request();
        await fails(other, 504, 'timeout', 2); // the time has passed
        peer.write('data: 1\n\n');
        assert.equal((await connection.event()).data, '1');
        connection.close();
    },
    { upstream: { reply_timeout: '500ms' } }
);

scene(
    'a_pool_that_is_full_says_so_and_whose_queue_is_full_at_once',
    async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server }, call(1));
        const waiting = client().send('POST', {}, call(2));
        assert.match(await fails(waiting, 503, 'pool_full', 2), /acquire_timeout \(50ms\): 1 of 1 in use/);
        peer.reply(answerTo(call(1)));
        assert.equal((await connection.head()).status, 200);
        connection.close();
    },
    { pool: { max: 1, acquire_timeout: '50ms' } }
);

scene(
    'those_who_wait_for_a_link_are_served_in_their_order_and_no_more_may_wait_than_allowed',
    async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server }, call(1));
        const waiting = [];
        for (const id of [2, 3]) {
            waiting.push(client().send('POST', {}, call(id)));
            await turn(world.weir);
        }
        assert.match(await fails(client().send('POST', {}, call(4)), 503, 'pool_full', 4), /max_waiting/);
        peer.reply(answerTo(call(1)));
        assert.equal((await connection.head()).status, 200);
        for (const [n, one] of waiting.entries()) {
            assert.equal((await peer.request()).body, call(n + 2));
            peer.reply(answerTo(call(n + 2)));
            assert.equal(JSON.parse((await one.head()).status === 200 && (await one.body())).id, n + 2);
        }
    },
    { pool: { max: 1, max_waiting: 2, acquire_timeout: '1h' } }
);

/* ---- links that are kept ---- */

async function answered({ client, server }, body = ping()) {
    const { connection, peer } = await ask({ client, server }, body);
    peer.reply(answerTo(body));
    assert.equal((await connection.head()).status, 200);
    await connection.body();
    return { connection, peer };
}

scene('a_link_is_kept_for_the_next_request_of_anybody', async ({ client, server }) => {
    const { peer } = await answered({ client, server });
    for (let id = 0; id < 20; id++) {
        const other = client().send('POST', {}, ping(id));
        assert.equal((await peer.request()).body, ping(id));
        peer.reply(answerTo(ping(id)));
        assert.equal((await other.head()).status, 200);
        other.close();
    }
    assert.ok(server.isUntouched());
});

scene('a_server_that_says_close_gets_no_second_request', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    peer.reply(answerTo(ping()), '200 OK', 'Connection: close\r\n');
    assert.equal((await connection.head()).headers.connection, undefined, 'that is between weir and the server');
    await connection.body();
    await peer.rest();
    connection.send('POST', {}, ping(2));
    const next = await server.next();
    assert.equal((await next.request()).body, ping(2));
    connection.close();
});

scene('a_server_that_speaks_unasked_is_left', async ({ client, server }) => {
    const { connection, peer } = await ask({ client, server });
    const answer = answerTo(ping());
    peer.write(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned`);
    await connection.head();
    assert.equal(await connection.body(), answer);
    connection.send('POST', {}, ping(2));
    const next = await server.next();
    assert.equal((await next.request()).body, ping(2));
    next.reply(answerTo(ping(2)));
    assert.equal((await connection.head()).status, 200);
    assert.equal(await connection.body(), answerTo(ping(2)));
});

scene(
    'an_idle_link_is_closed_after_its_time',
    async ({ client, server }) => {
        const { peer } = await answered({ client, server });
        assert.equal(await peer.rest(), '');
    },
    { upstream: { idle_timeout: '50ms' } }
);

const written = connection => new Promise(resolve => connection.socket.write('', resolve));

for (const [how, leave] of Object.entries({
    closes: async peer => (peer.end(), once(peer.socket, 'finish')),
    resets: async peer => (peer.cut(), once(peer.socket, 'close'))
}))
    for (const order of ['before', 'after'])
        scene(`a_call_on_a_link_whose_server_${how}_it_just_${order}_reaches_another_link_once`, async ({ weir, client, server }) => {
            const { connection, peer } = await answered({ client, server });
            await whileWorkerSleeps(weir, async () => {
                if (order === 'before') await leave(peer);
                connection.send('POST', {}, call('twice?'));
                await written(connection);
                if (order === 'after') await leave(peer);
            });
            const head = connection.head();
            const next = await Promise.race([server.next(), head]);
            assert.ok(!('status' in next), `answered with ${next.status} instead`);
            assert.equal((await next.request()).body, call('twice?'));
            next.reply(answerTo(call('twice?')));
            assert.equal((await head).status, 200);
            assert.equal(JSON.parse(await connection.body()).id, 'twice?');
            assert.ok(server.isUntouched());
        });

scene('a_call_that_was_read_before_its_link_closed_is_never_sent_again', async ({ client, server }) => {
    for (const end of ['end', 'cut']) {
        const { connection, peer } = await answered({ client, server });
        connection.send('POST', {}, call());
        assert.equal((await peer.request()).body, call());
        peer[end]();
        await fails(connection, 502, 'server_died');
        assert.ok(server.isUntouched());
    }
});

scene(
    'a_server_that_closes_every_connection_at_once_is_not_asked_for_ever',
    async ({ client }) => {
        await fails(client().send('POST', {}, call()), 502, 'server_died');
    },
    { fake: () => net.createServer(socket => socket.on('error', () => {}).end()) }
);

/* ---- slow clients ---- */

/* An endless stream that the server goes on sending for as long as somebody takes it; what the kernel took of it. */
function pour(peer) {
    const piece = 'x'.repeat(65_536);
    const chunk = `${piece.length.toString(16)}\r\n${piece}\r\n`;
    peer.write(`HTTP/1.1 200 OK\r\n${fieldsOf(whole)}Transfer-Encoding: chunked\r\n\r\n`);
    const more = () => {
        while (!peer.socket.destroyed && peer.write(chunk));
    };
    peer.socket.on('drain', more);
    more();
}

const cap = { listener: { buffer_limit: '64KiB', send_timeout: '100ms' } };

scene(
    'a_client_that_does_not_read_is_left_and_its_server_too',
    async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server });
        connection.socket.pause();
        pour(peer);
        await peer.rest();
        assert.ok(peer.socket.bytesWritten < 64 << 20, `${peer.socket.bytesWritten} bytes were taken for a client that reads none`);
        connection.close();
    },
    cap
);

scene(
    'a_slow_client_gets_every_byte_and_stops_nobody_else',
    async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server });
        connection.socket.pause();
        const body = answerTo(ping(), { text: 'y'.repeat(24 << 20) });
        peer.reply(body);
        const other = await ask({ client, server }, ping(2));
        other.peer.reply(answerTo(ping(2)));
        assert.equal((await other.connection.head()).status, 200);
        assert.ok(peer.socket.writableLength > 0, 'the rest waits with the server');
        connection.socket.resume();
        await connection.head();
        assert.equal(await connection.body(), body);
    },
    { listener: { buffer_limit: '64KiB' } }
);

/* ---- clients that leave ---- */

for (const leave of ['close', 'cut']) {
    scene(
        `a_client_that_leaves_(${leave})_while_it_waits_for_a_link_is_forgotten`,
        async ({ client, server }) => {
            const { connection, peer } = await ask({ client, server }, call(1));
            const gone = client().send('POST', {}, call(2));
            await turn(world.weir);
            gone[leave]();
            await turn(world.weir);
            peer.reply(answerTo(call(1)));
            assert.equal((await connection.head()).status, 200);
            await connection.body();
            connection.send('POST', {}, call(3));
            assert.equal((await peer.request()).body, call(3));
            connection.close();
        },
        { pool: { max: 1, acquire_timeout: '1h' } }
    );

    scene(`a_client_that_leaves_(${leave})_within_a_reply_is_noticed_by_its_server`, async ({ client, server }) => {
        for (const reply of [
            '',
            'HTTP/1.1 200 OK\r\nConte',
            `HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{`,
            'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n'
        ]) {
            const { connection, peer } = await ask({ client, server }, call());
            peer.write(reply);
            if (reply.includes('\r\n\r\n')) await connection.head();
            connection[leave]();
            await peer.rest();
        }
    });
}

/* ---- requests that a server does not take whole ---- */

const roomy = { listener: { max_message: '64MiB' } };
const large = rpc('ping', { text: 'x'.repeat(32 << 20) }, 1);

scene(
    'a_server_that_answers_before_it_has_read_everything_is_heard',
    async ({ client, server }) => {
        const connection = client().send('POST', {}, large);
        const peer = await server.next();
        const { headers } = await peer.lines('request line');
        assert.equal(headers['content-length'], String(large.length));
        peer.socket.pause();
        peer.write('HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 8\r\n\r\ntoo much');
        assert.equal((await connection.head()).status, 413);
        assert.equal(await connection.body(), 'too much');
        peer.cut();
    },
    roomy
);

scene(
    'a_server_that_answers_and_closes_in_the_middle_of_a_request_is_heard',
    async ({ client, server }) => {
        const connection = client().send('POST', {}, large);
        const peer = await server.next();
        await peer.lines('request line');
        peer.socket.pause();
        peer.socket.write('HTTP/1.1 413 Too Much\r\nContent-Length: 8\r\n\r\ntoo much', () => peer.close());
        assert.equal((await connection.head()).status, 413);
        assert.equal(await connection.body(), 'too much');
    },
    roomy
);

scene(
    'a_server_that_does_not_read_is_given_up',
    async ({ client, server }) => {
        const connection = client().send('POST', {}, large);
        const peer = await server.next();
        peer.socket.pause();
        assert.match(await fails(connection, 502, 'server_died'), /send_timeout/);
        peer.close();
    },
    { ...roomy, upstream: { send_timeout: '100ms' } }
);

/* ---- other ways to a server ---- */

const socketFile = join(mkdtempSync(join(tmpdir(), 'weir-unix-')), 'server.sock');
after(() => rmSync(dirname(socketFile), { recursive: true }));

scene(
    'a_server_may_listen_on_a_unix_socket',
    async ({ client, server }) => {
        const { connection, peer, request } = await ask({ client, server });
        assert.equal(request.target, '/over/unix');
        assert.equal(request.headers.host, 'localhost');
        peer.reply(answerTo(ping()));
        assert.equal((await connection.head()).status, 200);
        await connection.body();
        connection.send('POST', {}, ping(2));
        assert.equal((await peer.request()).body, ping(2), 'the link is kept');
        peer.end();
        await fails(connection, 502, 'server_died', 2);
    },
    { at: socketFile, url: () => `http://unix:${socketFile}:/over/unix` }
);

scene(
    'a_call_on_a_unix_link_whose_server_closes_it_just_before_reaches_another_link_once',
    async ({ weir, client, server }) => {
        const { connection, peer } = await answered({ client, server });
        await whileWorkerSleeps(weir, async () => {
            peer.close();
            await once(peer.socket, 'close');
            connection.send('POST', {}, call('twice?'));
            await written(connection);
        });
        const next = await server.next();
        assert.equal((await next.request()).body, call('twice?'));
        next.reply(answerTo(call('twice?')));
        assert.equal((await connection.head()).status, 200);
    },
    { at: `${socketFile}.2`, url: () => `http://unix:${socketFile}.2:/` }
);

scene(
    'a_server_of_http_1_0_that_keeps_its_connection_is_asked_again',
    async ({ client, server }) => {
        const { connection, peer } = await ask({ client, server });
        for (const id of [2, 3]) {
            peer.write(`HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}`);
            assert.equal((await connection.head()).status, 200);
            assert.equal(await connection.body(), '{}');
            connection.send('POST', {}, ping(id));
            assert.equal((await peer.request()).body, ping(id));
        }
        peer.write(`HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}`);
        assert.equal((await connection.head()).status, 200);
        assert.equal(await peer.rest(), '', 'who does not say so does not keep it');
        connection.close();
    },
    {}
);
