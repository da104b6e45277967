// curl as a client, in the ways that people use it.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { certificate } from './lib/certificates.mjs';
import { quiet, startEcho } from './lib/fake.mjs';
import { run } from './lib/process.mjs';
import { rpc } from './lib/raw.mjs';
import { startWeir } from './lib/weir.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-curl-'));
const file = name => join(folder, name);
let echo, weir;

before(async () => {
    await certificate(folder, 'weir', 'DNS:localhost');
    echo = await startEcho();
    const listener = { transport: 'http', listen: '127.0.0.1:0', routes: [{ path: '/mcp', upstream: 'echo' }] };
    const tls = { certificate: file('weir.pem'), key: file('weir.key') };
    const listeners = { plain: listener, secure: { ...listener, tls } };
    const upstreams = { echo: { transport: 'http', servers: [{ url: `http://127.0.0.1:${echo.port}/` }], chain: [{ pool: quiet }] } };
    weir = await startWeir(JSON.stringify({ workers: 2, modules: ['http', 'pool'], listeners, upstreams }));
});

after(async () => {
    await echo?.stop();
    await weir?.stop();
    rmSync(folder, { recursive: true });
});

/* What curl printed, what the server saw of it, and curl's own report. */
async function curl(listener, ...args) {
    const scheme = listener === 'secure' ? 'https' : 'http';
    const url = `${scheme}://localhost:${weir.port(listener)}/mcp`;
    const trust = ['--cacert', file('weir.pem'), '--ipv4'];
    const done = await run('curl', ['-sS', '--max-time', '60', ...trust, '-o', file('out'), '-w', '%{json}', ...args, url]);
    assert.equal(done.code, 0, done.output);
    const report = JSON.parse(done.stdout);
    return { ...report, seen: JSON.parse(readFileSync(file('out'), 'utf8')).result };
}

const json = ['-H', 'Content-Type: application/json', '-H', 'Accept: application/json, text/event-stream'];
const body = rpc('ping', { text: 'grüße' }, 1);

for (const listener of ['plain', 'secure'])
    describe(listener, () => {
        test(`${listener}: curl_posts_a_message`, async () => {
            const { http_code, http_version, num_connects, seen } = await curl(listener, ...json, '-d', body);
            assert.deepEqual([http_code, http_version, num_connects], [200, '1.1', 1]);
            assert.equal(seen.body, body);
            assert.equal(seen.headers['x-forwarded-proto'], listener === 'secure' ? 'https' : 'http');
        });

        test(`${listener}: curl_asks_for_http_2_and_is_content_with_less`, async () => {
            const { http_code, http_version } = await curl(listener, ...json, '--http2', '-d', body);
            assert.deepEqual([http_code, http_version], [200, '1.1']);
        });

        test(`${listener}: curl_speaks_http_1_0`, async () => {
            const { http_code, seen } = await curl(listener, ...json, '--http1.0', '-d', body);
            assert.equal(http_code, 200);
            assert.equal(seen.body, body);
        });

        test(`${listener}: curl_uploads_in_chunks`, async () => {
            const { http_code, seen } = await curl(listener, ...json, '-H', 'Transfer-Encoding: chunked', '-d', body);
            assert.equal(http_code, 200);
            assert.equal(seen.body, body);
            assert.equal(seen.headers['content-length'], String(Buffer.byteLength(body)));
        });

        test(`${listener}: curl_waits_to_be_told_to_go_on_and_is`, async () => {
            const large = rpc('ping', { text: 'x'.repeat(3 << 20) }, 1);
            writeFileSync(file('large'), large);
            const expect = ['-H', 'Expect: 100-continue', '--expect100-timeout', '3600', '--data-binary', `@${file('large')}`];
            for (const chunked of [[], ['-H', 'Transfer-Encoding: chunked']]) {
                const { http_code, seen } = await curl(listener, ...json, ...expect, ...chunked);
                assert.equal(http_code, 200);
                assert.equal(seen.body, large);
            }
        });

        test(`${listener}: curl_sends_one_request_after_the_other_on_one_connection`, async () => {
            const scheme = listener === 'secure' ? 'https' : 'http';
            const url = `${scheme}://localhost:${weir.port(listener)}/mcp`;
            const one = [
                '--cacert',
                file('weir.pem'),
                '--ipv4',
                ...json,
                '-d',
                body,
                '-o',
                file('out'),
                '-w',
                '%{num_connects} %{http_code}\n',
                url
            ];
            const done = await run('curl', ['-sS', ...one, '--next', ...one, '--next', ...one]);
            assert.equal(done.stdout, '1 200\n0 200\n0 200\n', done.output);
        });
    });

test('curl_does_not_trust_a_certificate_for_another_name', async () => {
    const url = `https://127.0.0.1:${weir.port('secure')}/mcp`;
    const { code } = await run('curl', ['-sS', '--cacert', file('weir.pem'), ...json, '-d', body, url]);
    assert.equal(code, 60);
});
