// TLS on the accept side: which certificate, which version, which session; and clients that do not speak it well.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { certificate } from './lib/certificates.mjs';
import { answerTo, quiet, startEcho, startFake } from './lib/fake.mjs';
import { descendants, run, servedBy, start, until } from './lib/process.mjs';
import { Connection, rpc } from './lib/raw.mjs';
import { renew, startWeir } from './lib/weir.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-tls-'));
const file = name => join(folder, name);
const read = name => readFileSync(file(name));
let echo, server, weir;

before(async () => {
    await certificate(folder, 'one', 'DNS:one.test,DNS:localhost');
    await certificate(folder, 'two', 'DNS:two.test,DNS:*.wild.test');
    await certificate(folder, 'three', 'DNS:one.test');
    copyFileSync(file('one.pem'), file('changing.pem'));
    copyFileSync(file('one.key'), file('changing.key'));
    const pair = name => ({ certificate: file(`${name}.pem`), key: file(`${name}.key`) });
    echo = await startEcho();
    server = await startFake();
    const routes = [
        { path: '/mcp', upstream: 'echo' },
        { path: '/fake', upstream: 'fake' }
    ];
    const listener = { transport: 'http', listen: '127.0.0.1:0', routes, tls: [pair('one'), pair('two')] };
    const to = ({ port }) => ({ transport: 'http', servers: [{ url: `http://127.0.0.1:${port}/` }], chain: [{ pool: quiet }] });
    const config = {
        workers: 2,
        modules: ['http', 'pool'],
        listeners: {
            named: listener,
            strict: { ...listener, tls: { ...pair('one'), min_version: 1.3 } },
            hasty: { ...listener, header_timeout: '500ms', idle_timeout: '50ms' },
            changing: { ...listener, tls: pair('changing') },
            narrow: { ...listener, buffer_limit: '64KiB' },
            slow: { ...listener, buffer_limit: '64KiB', send_timeout: '100ms' }
        },
        upstreams: { echo: to(echo), fake: to(server) }
    };
    weir = await startWeir(JSON.stringify(config).replace('"min_version":1.3', '"min_version":"1.3"'));
});

after(async () => {
    await echo?.stop();
    await server?.stop();
    await weir?.stop();
    rmSync(folder, { recursive: true });
});

/* A handshake with a listener; `servername` is what is asked for, any authority of ours is trusted. */
async function shake(listener, options = {}) {
    const ca = ['one', 'two', 'three'].map(name => read(`${name}.pem`));
    const socket = tls.connect({ port: weir.port(listener), host: '127.0.0.1', ca, checkServerIdentity: () => undefined, ...options });
    await once(socket, 'secureConnect');
    return socket;
}
const nameOf = socket => socket.getPeerCertificate().subject.CN;

/* A client over TLS. */
const connect = (listener = 'named', path = '/mcp', options = {}) =>
    new Connection(`http://127.0.0.1:${weir.port(listener)}${path}`, at =>
        tls.connect({ ...at, rejectUnauthorized: false, servername: 'one.test', ...options })
    );

async function answered(connection, id = 1) {
    connection.send('POST', { host: 'localhost' }, rpc('ping', undefined, id));
    assert.equal((await connection.head()).status, 200);
    assert.equal(JSON.parse(await connection.body()).id, id);
}

test('each_name_gets_its_certificate', async () => {
    const wanted = { 'one.test': 'one', localhost: 'one', 'two.test': 'two', 'TWO.test': 'two', 'a.wild.test': 'two' };
    for (const [servername, name] of Object.entries(wanted)) {
        const socket = await shake('named', { servername });
        assert.equal(nameOf(socket), name, servername);
        assert.ok(socket.authorized);
        socket.destroy();
    }
});

test('who_asks_for_no_name_or_an_unknown_one_gets_the_first_certificate', async () => {
    for (const servername of ['', 'unknown.test', 'a.b.wild.test']) {
        const socket = await shake('named', { servername });
        assert.equal(nameOf(socket), 'one', servername);
        socket.destroy();
    }
});

test('tls_1_2_and_1_3_are_spoken_and_nothing_older', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
        const socket = await shake('named', { minVersion: version, maxVersion: version });
        assert.equal(socket.getProtocol(), version);
        socket.destroy();
    }
    for (const version of ['TLSv1', 'TLSv1.1'])
        await assert.rejects(
            shake('named', { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' }),
            /protocol version/
        );
});

test('a_listener_may_ask_for_more', async () => {
    await assert.rejects(shake('strict', { maxVersion: 'TLSv1.2' }), /protocol version/);
    const socket = await shake('strict');
    assert.equal(socket.getProtocol(), 'TLSv1.3');
    socket.destroy();
});

test('of_the_protocols_a_client_offers_http_1_1_is_taken', async () => {
    for (const [offered, taken] of [
        [['h2', 'http/1.1'], 'http/1.1'],
        [['h2'], false]
    ]) {
        const socket = await shake('named', { ALPNProtocols: offered });
        assert.equal(socket.alpnProtocol, taken);
        socket.destroy();
    }
});

/* ---- sessions ---- */

const workers = () => descendants(weir.pid).filter(({ command }) => command.startsWith('weir: worker/'));

/* A connection that offers this session, used once; and the session that the server gave it. */
async function visit(version, session, options = {}) {
    const connection = connect('named', '/mcp', { minVersion: version, maxVersion: version, session, ...options });
    const given = once(connection.socket, 'session').then(([ticket]) => ticket);
    await once(connection.socket, 'secureConnect');
    const worker = servedBy(connection, workers()).pid;
    await answered(connection);
    const isReused = connection.socket.isSessionReused();
    /* A TLS 1.2 session that is resumed may be given no new ticket. */
    const ticket = isReused && version === 'TLSv1.2' ? session : await given;
    connection.close();
    return { isReused, worker, ticket };
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
    test(`a_session_of_${version}_is_resumed_by_any_worker`, async () => {
        const first = await visit(version);
        assert.equal(first.isReused, false);
        const met = new Set([first.worker]);
        for (let { ticket } = first, visits = 0; met.size < 2; visits++) {
            assert.ok(visits < 200, 'a client comes by both workers');
            const next = await visit(version, ticket);
            assert.ok(next.isReused, `by worker ${next.worker}, after ${[...met]}`);
            met.add(next.worker);
            ticket = next.ticket;
        }
    });

    test(`a_session_of_${version}_is_resumed_after_a_reload`, async () => {
        const { ticket } = await visit(version);
        const old = await renew(weir);
        const next = await visit(version, ticket);
        assert.ok(next.isReused);
        assert.ok(!old.includes(next.worker));
    });
}

test('a_certificate_that_has_changed_is_shown_after_a_reload', async () => {
    const show = async () => {
        const socket = await shake('changing', { servername: 'one.test' });
        const name = nameOf(socket);
        socket.destroy();
        return name;
    };
    assert.equal(await show(), 'one');
    copyFileSync(file('three.pem'), file('changing.pem'));
    process.kill(weir.pid, 'SIGHUP');
    await until(() => /reload failed/.test(weir.stderr()), 'a certificate without its key is no configuration');
    assert.match(weir.stderr(), /changing\.key does not match the certificate/);
    assert.equal(await show(), 'one', 'the old one goes on');
    copyFileSync(file('three.key'), file('changing.key'));
    await renew(weir);
    assert.equal(await show(), 'three');
});

/* ---- what travels in it ---- */

test('requests_travel_in_tls_as_they_do_without', async () => {
    const connection = connect();
    for (let id = 0; id < 200; id++) await answered(connection, id);
    const body = rpc('ping', { text: 'é'.repeat(1 << 20) }, 'large');
    connection.send('POST', { host: 'localhost' }, body);
    assert.equal((await connection.head()).status, 200);
    assert.equal(JSON.parse(await connection.body()).result.body, body);
    const small = n =>
        `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${rpc('ping', undefined, n).length}\r\n\r\n${rpc('ping', undefined, n)}`;
    connection.write(Array.from({ length: 50 }, (_, n) => small(n)).join(''));
    for (let n = 0; n < 50; n++) {
        assert.equal((await connection.head()).status, 200);
        assert.equal(JSON.parse(await connection.body()).id, n);
    }
    connection.close();
});

test('a_server_is_told_that_its_client_came_by_tls', async () => {
    await answered(connect());
    assert.equal(echo.seen.at(-1).headers['x-forwarded-proto'], 'https');
});

test('an_event_reaches_a_client_of_tls_before_the_next_is_sent', async () => {
    const connection = connect('named', '/fake').send('POST', { host: 'localhost' }, rpc('ping', undefined, 1));
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
});

for (const [how, leave] of Object.entries({
    says_goodbye: socket => socket.end(),
    goes: socket => socket.destroy(),
    resets: (socket, carrier) => carrier.resetAndDestroy()
}))
    test(`a_client_of_tls_that_${how}_is_noticed_by_its_server`, async () => {
        const carrier = net.connect(weir.port('named'), '127.0.0.1');
        const connection = connect('named', '/fake', { socket: carrier });
        connection.send('POST', { host: 'localhost' }, rpc('ping', undefined, 1));
        const peer = await server.next();
        await peer.request();
        leave(connection.socket, carrier);
        await peer.rest();
    });

test('a_client_of_tls_that_does_not_read_is_left', async () => {
    const connection = connect('slow', '/fake').send('POST', { host: 'localhost' }, rpc('ping', undefined, 1));
    const peer = await server.next();
    await peer.request();
    connection.socket.pause();
    const piece = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
    const more = () => {
        while (!peer.socket.destroyed && peer.write(piece));
    };
    peer.socket.on('drain', more);
    peer.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    more();
    await peer.rest();
    assert.ok(peer.socket.bytesWritten < 64 << 20, `${peer.socket.bytesWritten} bytes were taken`);
    connection.close();
});

test('a_slow_client_of_tls_gets_every_byte', async () => {
    const connection = connect('narrow', '/fake').send('POST', { host: 'localhost' }, rpc('ping', undefined, 1));
    const peer = await server.next();
    await peer.request();
    connection.socket.pause();
    const body = answerTo(rpc('ping', undefined, 1), { text: 'y'.repeat(16 << 20) });
    peer.reply(body);
    await answered(connect());
    connection.socket.resume();
    assert.equal((await connection.head()).status, 200);
    assert.equal(await connection.body(), body);
    connection.close();
});

test('the_end_of_a_connection_is_said_in_tls_too', async () => {
    const args = [
        's_client',
        '-quiet',
        '-connect',
        `127.0.0.1:${weir.port('named')}`,
        '-servername',
        'one.test',
        '-CAfile',
        file('one.pem')
    ];
    const client = start('openssl', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const body = rpc('ping', undefined, 1);
    client.child.stdin.write(
        `POST /mcp HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    );
    await client.ended;
    assert.match(client.stdout, /^HTTP\/1\.1 200 OK/);
    assert.doesNotMatch(client.stderr, /unexpected eof|error/i);
});

/* ---- clients that do not speak it well ---- */

const raw = listener => new Connection(`http://127.0.0.1:${weir.port(listener)}/mcp`);

test('a_client_that_does_not_speak_tls_is_left', async () => {
    const connection = raw('named').send('POST', { host: 'localhost' }, rpc('ping', undefined, 1));
    assert.doesNotMatch(await connection.rest(), /HTTP\/1\.1 200/);
    await answered(connect());
});

test('a_client_that_sends_garbage_after_a_good_beginning_is_left', async () => {
    const connection = raw('named');
    connection.write(Buffer.concat([Buffer.from([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]), Buffer.alloc(200, 0xff)]));
    await connection.rest();
    await answered(connect());
});

/* The first flight of a client, cut out of a real handshake. */
async function helloBytes() {
    const listener = net.createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    tls.connect({ port: listener.address().port, host: '127.0.0.1', servername: 'one.test' }).on('error', () => {});
    const [socket] = await once(listener, 'connection');
    const [bytes] = await once(socket, 'data');
    socket.destroy();
    listener.close();
    return bytes;
}

test('half_a_handshake_and_then_silence_ends_after_the_time_for_a_head', async () => {
    const hello = await helloBytes();
    for (const part of [Buffer.alloc(0), hello.subarray(0, 1), hello.subarray(0, 100), hello]) {
        const connection = raw('hasty');
        connection.write(part);
        await connection.rest();
    }
    await answered(connect('hasty'));
});

test('clients_that_leave_within_the_handshake_leave_nothing_behind', async () => {
    const hello = await helloBytes();
    for (const part of [Buffer.alloc(0), hello.subarray(0, 1), hello.subarray(0, 100), hello])
        for (const leave of ['cut', 'close']) {
            const connection = raw('named');
            await once(connection.socket, 'connect');
            await new Promise(resolve => connection.socket.write(part, resolve));
            connection[leave]();
        }
    await answered(connect());
});

test('a_handshake_that_comes_byte_by_byte_is_a_handshake', async () => {
    const drip = net.createServer(client => {
        const socket = net.connect({ port: weir.port('named'), host: '127.0.0.1', noDelay: true });
        client.on('data', async bytes => {
            client.pause();
            for (const byte of bytes) await new Promise(resolve => socket.write(Buffer.of(byte), () => setImmediate(resolve)));
            client.resume();
        });
        socket.on('data', bytes => client.write(bytes));
        client.on('close', () => socket.destroy()).on('error', () => {});
        socket.on('error', () => {});
    });
    drip.listen(0, '127.0.0.1');
    await once(drip, 'listening');
    const connection = new Connection(`http://127.0.0.1:${drip.address().port}/mcp`, at =>
        tls.connect({ ...at, ca: read('one.pem'), servername: 'one.test' })
    );
    await answered(connection);
    connection.close();
    drip.close();
});

test('nothing_of_all_this_is_an_error_of_weirs', async () => {
    assert.doesNotMatch(weir.stderr(), /killed by signal|Assertion|panic/);
    const { stdout } = await run('ps', ['-o', 'stat=', '--ppid', String(weir.pid)]);
    assert.doesNotMatch(stdout, /Z/);
});
