// HTTP's corners on the accept side: what clients may do, and what they get.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { quiet, startEcho } from './lib/fake.mjs';
import { Connection, rpc } from './lib/raw.mjs';
import { startWeir } from './lib/weir.mjs';

let echo, weir, url;

before(async () => {
    echo = await startEcho();
    const listener = { transport: 'http', listen: '127.0.0.1:0', routes: [{ path: '/mcp', upstream: 'echo' }] };
    const listeners = {
        plain: listener,
        small: { ...listener, max_head: '2KiB', max_message: '8KiB' },
        hasty: { ...listener, header_timeout: '500ms', body_timeout: '50ms', idle_timeout: '50ms' },
        thrice: { ...listener, keepalive_requests: 3 }
    };
    const upstreams = { echo: { transport: 'http', servers: [{ url: `http://127.0.0.1:${echo.port}/` }], chain: [{ pool: quiet }] } };
    weir = await startWeir(JSON.stringify({ workers: 1, modules: ['http', 'pool'], listeners, upstreams }));
    url = weir.url('plain', '/mcp');
});

after(async () => {
    await echo?.stop();
    await weir?.stop();
});

const bytesOf = (body, headers = {}) => {
    const all = { Host: 'localhost', 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...headers };
    const lines = Object.entries(all)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name}: ${value}\r\n`);
    return `POST /mcp HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
};
const chunkedOf = chunks => bytesOf(chunks, { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' });

/* The answer to a request that was written: what the echo server saw of it. */
async function answer(connection) {
    const head = await connection.head();
    const text = await connection.body();
    assert.equal(head.status, 200, text);
    return { ...head, ...JSON.parse(text) };
}

/* A connection on which a request made after the worker has read everything that was written before: it has one loop. */
async function openBarrier() {
    const connection = new Connection(url);
    const pass = async () => {
        connection.send('POST', {}, rpc('ping', undefined, 0));
        await answer(connection);
    };
    await pass();
    return { pass, close: () => connection.close() };
}

async function splitEverywhere(bytes, body) {
    const barrier = await openBarrier();
    const connection = new Connection(url);
    connection.write(bytes);
    await answer(connection);
    for (let cut = 1; cut < bytes.length; cut++) {
        connection.write(bytes.subarray(0, cut));
        await barrier.pass();
        connection.write(bytes.subarray(cut));
        assert.equal((await answer(connection)).result.body, body, `cut at ${cut}`);
    }
    for (const byte of bytes) {
        connection.write(Buffer.of(byte));
        await barrier.pass();
    }
    assert.equal((await answer(connection)).result.body, body, 'byte by byte');
    connection.close();
    barrier.close();
}

const message = rpc('tools/call', { name: 'grüße', arguments: {} }, 'ün');

test('a_request_split_at_every_byte_is_one_request', () => splitEverywhere(Buffer.from(bytesOf(message)), message));

test('a_chunked_request_split_at_every_byte_is_one_request', () => {
    const bytes = Buffer.from(message);
    const chunks = [bytes.subarray(0, 1), bytes.subarray(1, 20), bytes.subarray(20)];
    const extensions = ['', ';ext', ' ; a="b;c"'];
    const coded = chunks.flatMap((chunk, n) => [`${chunk.length.toString(16)}${extensions[n]}\r\n`, chunk, '\r\n']);
    const all = [chunkedOf(''), ...coded, '000\r\nX-Trailer: 1\r\nY: 2\r\n\r\n'];
    return splitEverywhere(Buffer.concat(all.map(part => Buffer.from(part))), message);
});

test('what_a_chunk_extension_or_a_trailer_says_reaches_no_server', async () => {
    const connection = new Connection(url);
    const size = Buffer.byteLength(message).toString(16).toUpperCase();
    connection.write(chunkedOf(`${size};x=1\r\n${message}\r\n0;y\r\nMcp-Session-Id: stolen\r\nX-T: 1\r\n\r\n`));
    const { result } = await answer(connection);
    assert.equal(result.headers['content-length'], String(Buffer.byteLength(message)));
    for (const name of ['x-t', 'mcp-session-id', 'transfer-encoding', 'trailer']) assert.ok(!(name in result.headers), name);
    connection.close();
});

test('pipelined_requests_are_answered_in_their_order', async () => {
    const connection = new Connection(url);
    const ids = Array.from({ length: 50 }, (_, n) => n);
    connection.write(
        ids.map(id => (id % 2 ? bytesOf(rpc('ping', undefined, id)) : chunkedOf(inChunks(rpc('ping', undefined, id))))).join('')
    );
    for (const id of ids) assert.equal((await answer(connection)).id, id);
    connection.close();
});

const inChunks = body => `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n`;

test('a_pipelined_request_waits_behind_one_that_is_refused', async () => {
    const connection = new Connection(url);
    connection.write(bytesOf('{', {}) + bytesOf(rpc('ping', undefined, 2)));
    assert.equal((await connection.head()).status, 400);
    assert.equal(JSON.parse(await connection.body()).error.code, -32700);
    assert.equal((await answer(connection)).id, 2);
    connection.close();
});

test('empty_lines_before_a_request_are_read_over', async () => {
    const connection = new Connection(url);
    for (let id = 0; id < 3; id++) {
        connection.write(`\r\n\r\n${bytesOf(rpc('ping', undefined, id))}\r\n`);
        assert.equal((await answer(connection)).id, id);
    }
    connection.close();
});

test('a_target_in_absolute_form_is_the_same_place', async () => {
    const connection = new Connection(url);
    for (const target of ['http://localhost/mcp', 'http://LOCALHOST:80/mcp?a=1', 'HTTPS://localhost/mcp']) {
        connection.write(bytesOf(rpc('ping', undefined, 1)).replace('/mcp', target));
        const { result } = await answer(connection);
        assert.equal(result.url, target.includes('?') ? '/?a=1' : '/');
    }
    connection.write(bytesOf(rpc('ping', undefined, 1)).replace('/mcp', 'http://evil.example/mcp'));
    assert.equal((await connection.head()).status, 403, 'the host that counts is that of the target');
    connection.close();
});

test('many_requests_travel_on_one_connection', async () => {
    const connection = new Connection(url);
    for (let id = 0; id < 2000; id++) {
        connection.send('POST', {}, rpc('ping', undefined, id));
        assert.equal((await answer(connection)).id, id);
    }
    connection.close();
});

test('a_connection_is_closed_when_its_client_says_so', async () => {
    const connection = new Connection(url);
    connection.send('POST', { connection: 'Close' }, rpc('ping', undefined, 1));
    const { headers, id } = await answer(connection);
    assert.equal(id, 1);
    assert.equal(headers.connection, 'close');
    assert.equal(await connection.rest(), '');
});

test('what_follows_a_request_that_says_close_is_not_answered', async () => {
    const connection = new Connection(url);
    connection.write(bytesOf(rpc('ping', undefined, 1), { Connection: 'close' }) + bytesOf(rpc('ping', undefined, 2)));
    assert.equal((await answer(connection)).id, 1);
    assert.equal(await connection.rest(), '');
});

test('a_thousand_clients_at_once_are_answered_each_with_its_own', async () => {
    const ids = Array.from({ length: 1000 }, (_, n) => n);
    const connections = ids.map(id => new Connection(url).send('POST', {}, rpc('ping', undefined, id)));
    for (const id of ids) {
        assert.equal((await answer(connections[id])).id, id);
        connections[id].close();
    }
});

test('the_last_request_that_a_connection_may_carry_says_so', async () => {
    const connection = new Connection(weir.url('thrice', '/mcp'));
    for (const said of [undefined, undefined, 'close']) {
        connection.send('POST', {}, rpc('ping', undefined, 1));
        assert.equal((await answer(connection)).headers.connection, said);
    }
    assert.equal(await connection.rest(), '');
});

test('a_client_of_http_1_0_gets_what_it_understands', async () => {
    const old = (headers = {}) => bytesOf(rpc('ping', undefined, 1), headers).replace('HTTP/1.1', 'HTTP/1.0');
    const connection = new Connection(url);
    connection.write(old({ Connection: 'keep-alive' }));
    const kept = await answer(connection);
    assert.equal(kept.headers.connection, 'keep-alive');
    assert.equal(kept.headers['transfer-encoding'], undefined);
    connection.write(old());
    assert.equal((await answer(connection)).headers.connection, 'close');
    assert.equal(await connection.rest(), '');
});

for (const [name, write] of Object.entries({
    with_its_length: body => bytesOf(body, { Expect: '100-Continue' }),
    in_chunks: body => chunkedOf(inChunks(body)).replace('\r\n', '\r\nExpect: 100-continue\r\n')
}))
    test(`a_client_that_asks_whether_to_send_its_body_is_told_to_go_on_${name}`, async () => {
        const connection = new Connection(url);
        const [head, body] = write(message).split(/(?<=\r\n\r\n)(?=[^])/, 2);
        connection.write(head);
        assert.equal((await connection.head()).status, 100);
        connection.write(write(message).slice(head.length));
        const { result } = await answer(connection);
        assert.equal(result.body, message, body);
        assert.equal(result.headers.expect, undefined, 'the server has nothing to expect');
        connection.close();
    });

test('a_client_that_asks_first_and_is_unwanted_never_sends_its_body', async () => {
    const connection = new Connection(url);
    connection.write(bytesOf('', { Expect: '100-continue', 'Content-Type': 'text/plain', 'Content-Length': 1000 }));
    const head = await connection.head();
    assert.equal(head.status, 415);
    assert.equal(head.headers.connection, 'close', 'for nobody knows whether the body comes');
    assert.match(await connection.body(), /application\/json/);
    assert.equal(await connection.rest(), '');
});

test('a_client_that_asks_but_does_not_wait_is_not_told_to_go_on', async () => {
    const connection = new Connection(url);
    connection.write(bytesOf(message, { Expect: '100-continue' }));
    assert.equal((await answer(connection)).result.body, message);
    connection.close();
});

/* The reply to bytes that are no good request; afterwards the connection must be over and nothing of it have reached a server. */
async function refused(bytes, status, { listener = 'plain' } = {}) {
    const before = echo.seen.length;
    const connection = new Connection(weir.url(listener, '/mcp'));
    connection.write(bytes);
    const head = await connection.head();
    const text = await connection.body();
    assert.equal(head.status, status, `${JSON.stringify(bytes.slice(0, 200))}: ${text}`);
    assert.equal(head.headers.connection, 'close');
    assert.equal(await connection.rest(), '');
    assert.equal(echo.seen.length, before, 'no server has seen it');
    return { ...head, text };
}

const smuggled = bytesOf(rpc('tools/call', { name: 'smuggled' }, 666));
const withFields = (fields, body = '') => `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${fields}\r\n${body}`;
const two = rpc('ping', undefined, 1);
const n = Buffer.byteLength(two);

const ambiguous = {
    two_lengths: withFields(`Content-Length: ${n}\r\nContent-Length: ${n + 1}\r\n`, two),
    two_lengths_in_one_field: withFields(`Content-Length: ${n}, ${n + 1}\r\n`, two),
    a_length_and_chunks: withFields(`Content-Length: ${n}\r\nTransfer-Encoding: chunked\r\n`, inChunks(two)),
    chunks_and_a_length: withFields(`Transfer-Encoding: chunked\r\nContent-Length: 3\r\n`, inChunks(two)),
    a_signed_length: withFields(`Content-Length: +${n}\r\n`, two),
    a_negative_length: withFields('Content-Length: -1\r\n', two),
    a_length_in_hexadecimal: withFields(`Content-Length: 0x${n.toString(16)}\r\n`, two),
    a_length_too_long_for_a_number: withFields('Content-Length: 99999999999999999999\r\n', two),
    an_empty_length: withFields('Content-Length: \r\n', two),
    an_unknown_coding: withFields('Transfer-Encoding: gzip\r\n', two),
    a_coding_below_chunked: withFields('Transfer-Encoding: gzip, chunked\r\n', inChunks(two)),
    chunked_twice: withFields('Transfer-Encoding: chunked, chunked\r\n', inChunks(two)),
    chunked_in_two_fields: withFields('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', inChunks(two)),
    a_coding_with_a_vertical_tab: withFields('Transfer-Encoding: \vchunked\r\n', inChunks(two)),
    a_coding_in_http_1_0: withFields('Transfer-Encoding: chunked\r\n', inChunks(two)).replace('1.1', '1.0'),
    a_space_before_the_colon: withFields(`Content-Length : ${n}\r\n`, two),
    a_folded_field: withFields(`X: a\r\n b\r\nContent-Length: ${n}\r\n`, two),
    a_field_that_begins_with_a_space: withFields(` Content-Length: ${n}\r\n`, two),
    a_bare_carriage_return: withFields(`X: a\rContent-Length: ${n}\r\n`, two),
    a_zero_byte: withFields(`X: a\0b\r\nContent-Length: ${n}\r\n`, two),
    a_field_without_a_name: withFields(`: a\r\nContent-Length: ${n}\r\n`, two),
    a_line_that_is_no_field: withFields(`Content-Length ${n}\r\n`, two),
    no_host: withFields(`Content-Length: ${n}\r\n`, two).replace('Host: localhost\r\n', ''),
    two_hosts: withFields(`Host: localhost\r\nContent-Length: ${n}\r\n`, two),
    a_chunk_without_a_size: chunkedOf(`\r\n${two}\r\n0\r\n\r\n`),
    a_chunk_size_that_is_no_number: chunkedOf(`0x${n.toString(16)}\r\n${two}\r\n0\r\n\r\n`),
    a_chunk_size_too_long_for_a_number: chunkedOf(`fffffffffffffffff\r\n${two}\r\n0\r\n\r\n`),
    a_chunk_longer_than_its_size: chunkedOf(`${(n - 1).toString(16)}\r\n${two}\r\n0\r\n\r\n`),
    a_bare_carriage_return_behind_a_size: chunkedOf(`${n.toString(16)}\r${two}\r\n0\r\n\r\n`),
    not_http: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    half_a_request_line: 'POST /mcp\r\nHost: localhost\r\n\r\n',
    a_target_with_a_space: bytesOf(two).replace('/mcp', '/mcp /x')
};

for (const [what, bytes] of Object.entries(ambiguous))
    test(`a_request_with_${what}_is_refused_and_its_connection_closed`, () => refused(bytes + smuggled, 400));

test('a_version_that_is_not_spoken_is_refused', async () => {
    for (const version of ['HTTP/2.0', 'HTTP/0.9', 'HTTP/1.2']) await refused(bytesOf(two).replace('HTTP/1.1', version), 505);
});

test('equal_lengths_are_one_length', async () => {
    const connection = new Connection(url);
    connection.write(withFields(`Content-Length: ${n}\r\nContent-Length: ${n}, ${n}\r\n`, two));
    assert.equal((await answer(connection)).result.body, two);
    connection.close();
});

test('a_head_that_is_too_large_is_refused', async () => {
    const huge = size => withFields(`X: ${'x'.repeat(size)}\r\nContent-Length: ${n}\r\n`, two);
    await refused(huge(2048), 431, { listener: 'small' });
    await refused(huge(20_000), 431);
    await refused(`GET /${'x'.repeat(1 << 20)}`, 431);
    await refused(withFields(`${'X: 1\r\n'.repeat(200)}Content-Length: ${n}\r\n`, two), 431);
});

test('a_head_up_to_the_limit_passes', async () => {
    const connection = new Connection(url);
    const rest = Buffer.byteLength(withFields(`X: \r\nContent-Length: ${n}\r\n`));
    connection.write(withFields(`X: ${'x'.repeat(16384 - rest)}\r\nContent-Length: ${n}\r\n`, two));
    assert.equal((await answer(connection)).result.headers.x.length, 16384 - rest);
    connection.close();
});

test('a_message_that_is_too_large_is_refused_before_it_comes', async () => {
    await refused(withFields('Content-Length: 8193\r\n'), 413, { listener: 'small' });
    await refused(withFields('Content-Length: 9223372036854775807\r\n'), 413, { listener: 'small' });
});

test('a_chunked_message_that_grows_too_large_is_refused', async () => {
    const chunk = `1000\r\n${'x'.repeat(4096)}\r\n`;
    await refused(chunkedOf(chunk.repeat(3)), 413, { listener: 'small' });
    await refused(chunkedOf(`7fffffffffffffff\r\n${'x'.repeat(100_000)}`), 413, { listener: 'small' });
});

test('a_client_that_goes_on_sending_a_refused_message_can_read_why', async () => {
    const connection = new Connection(weir.url('small', '/mcp'));
    connection.write(withFields('Content-Length: 4000000\r\n', 'x'.repeat(4_000_000)));
    assert.equal((await connection.head()).status, 413);
    assert.match(await connection.body(), /max_message \(8192\)/);
    connection.close();
});

test('a_message_up_to_the_limit_passes', async () => {
    const connection = new Connection(weir.url('small', '/mcp'));
    const bare = rpc('ping', { x: '' }, 1);
    const full = rpc('ping', { x: 'x'.repeat(8192 - bare.length) }, 1);
    for (const bytes of [bytesOf(full), chunkedOf(inChunks(full))]) {
        connection.write(bytes);
        assert.equal((await answer(connection)).result.body, full);
    }
    connection.close();
});

test('a_message_of_many_megabytes_arrives_whole', async () => {
    const connection = new Connection(url);
    const body = rpc('ping', { x: 'é'.repeat(1 << 20) }, 1);
    connection.write(bytesOf(body));
    assert.equal((await answer(connection)).result.body, body);
    const chunk = Buffer.from(body)
        .toString('latin1')
        .match(/[^]{1,5000}/g);
    connection.write(chunkedOf(''));
    for (const piece of chunk) connection.write(Buffer.from(`${piece.length.toString(16)}\r\n${piece}\r\n`, 'latin1'));
    connection.write('0\r\n\r\n');
    assert.equal((await answer(connection)).result.body, body);
    connection.close();
});

test('a_head_that_does_not_come_to_its_end_is_refused', async () => {
    for (const part of ['P', 'POST /mcp HTTP/1.1\r\nHost: localh', bytesOf('').slice(0, -2)]) {
        const { text } = await refused(part, 408, { listener: 'hasty' });
        assert.match(text, /header_timeout/);
    }
});

test('a_body_that_does_not_come_to_its_end_is_refused', async () => {
    for (const bytes of [withFields(`Content-Length: ${n}\r\n`), withFields(`Content-Length: ${n}\r\n`, '{'), chunkedOf('5\r\n{"js')]) {
        const { text } = await refused(bytes, 408, { listener: 'hasty' });
        assert.match(text, /body_timeout/);
    }
});

test('a_client_that_says_nothing_is_left', async () => {
    assert.equal(await new Connection(weir.url('hasty', '/mcp')).rest(), '');
});

test('a_connection_that_is_idle_is_closed_quietly', async () => {
    const connection = new Connection(weir.url('hasty', '/mcp'));
    connection.send('POST', {}, two);
    await answer(connection);
    assert.equal(await connection.rest(), '');
});

const stages = {
    before_a_byte: '',
    in_the_request_line: 'POST /m',
    in_the_head: bytesOf(two).slice(0, 40),
    behind_the_head: bytesOf(two).slice(0, -n),
    in_the_body: bytesOf(two).slice(0, -3),
    in_a_chunk_size: chunkedOf('1'),
    in_a_chunk: chunkedOf('10\r\n{"'),
    in_a_trailer: chunkedOf(`${n.toString(16)}\r\n${two}\r\n0\r\nX: `)
};

for (const [stage, bytes] of Object.entries(stages))
    test(`a_client_that_leaves_${stage}_leaves_nothing_behind`, async () => {
        const before = echo.seen.length;
        const barrier = await openBarrier();
        for (const leave of ['close', 'cut']) {
            const connection = new Connection(url);
            await once(connection.socket, 'connect');
            connection.write(bytes);
            await barrier.pass();
            connection[leave]();
            await barrier.pass();
        }
        barrier.close();
        assert.equal(echo.seen.slice(before).filter(({ body }) => body !== rpc('ping', undefined, 0)).length, 0);
    });
