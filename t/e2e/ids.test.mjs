// A reply carries the id of its request byte for byte, whatever a JSON parser would make of it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openSession, request } from './lib/raw.mjs';
import { setUpRecorder } from './lib/recorder.mjs';
import { ways } from './lib/world.mjs';

const world = setUpRecorder();

const ids = [
    '0',
    '7',
    '-1',
    '-0',
    '1e2',
    '1E+2',
    '9007199254740991',
    '9007199254740993',
    '-9007199254740993',
    '18446744073709551617',
    '"7"',
    '""',
    '"plain"',
    String.raw`"quote \" backslash \\ slash \/ tab \t"`,
    String.raw`"\u00e9\u0041\ud83c\udf0a"`,
    '"\u00e9 \u{1f30a}"',
    '" id \\":1,{}[] "',
    `"${'long'.repeat(200)}"`
];

/* The text of the top-level id of a message. */
function idOf(text) {
    const sources = new Map();
    const root = JSON.parse(text, function (key, value, { source }) {
        if (key === 'id') sources.set(this, source);
        return value;
    });
    return sources.get(root);
}

const textOf = text => JSON.parse(text).result.content[0].text;
const echo = words => `"method":"tools/call","params":{"name":"echo","arguments":{"message":${JSON.stringify(words)}}}`;

const modern = {
    headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' },
    params: words =>
        JSON.stringify({
            name: 'echo',
            arguments: { message: words, id: 'not this' },
            _meta: {
                'io.modelcontextprotocol/protocolVersion': '2026-07-28',
                'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
                'io.modelcontextprotocol/clientCapabilities': {}
            }
        })
};

for (const way of ways)
    describe(way, () => {
        test(`${way}: a_session's_replies_carry_the_ids_of_their_requests`, async () => {
            const session = await openSession(world.url(way));
            for (const id of ids) {
                const { text } = await session.post(`{"jsonrpc":"2.0","id":${id},${echo(id)}}`);
                assert.equal(idOf(text), id);
                assert.equal(textOf(text), id);
            }
            await session.end();
        });

        test(`${way}: so_do_those_of_requests_in_flight_together`, async () => {
            const session = await openSession(world.url(way));
            const replies = await Promise.all(ids.map(id => session.post(`{"jsonrpc":"2.0","id":${id},${echo(id)}}`)));
            assert.deepEqual(replies.map(({ text }) => idOf(text)), ids); // prettier-ignore
            assert.deepEqual(replies.map(({ text }) => textOf(text)), ids); // prettier-ignore
            await session.end();
        });

        test(`${way}: an_id_is_found_wherever_it_stands`, async () => {
            const session = await openSession(world.url(way));
            const bodies = [
                `{"id":41,"jsonrpc":"2.0",${echo('a')}}`,
                `{${echo('b')},"jsonrpc":"2.0","id":41}`,
                `{"jsonrpc":"2.0","params":{"id":1,"arguments":{"id":"x","message":"c"},"name":"echo"},"id":41,"method":"tools/call"}`,
                `\n { "jsonrpc" : "2.0" ,\r\n\t"id"\t:\n41 , ${echo('d')} } \n`
            ];
            for (const body of bodies) assert.equal(idOf((await session.post(body)).text), '41', body);
            await session.end();
        });

        test(`${way}: modern_requests_of_several_clients_with_equal_ids_get_their_own_replies`, async () => {
            const post = (id, words) =>
                request(
                    world.url(way),
                    'POST',
                    modern.headers,
                    `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":${modern.params(words)}}`
                );
            const asked = ids.flatMap(id => ['a', 'b', 'c'].map(client => ({ id, words: `${client} ${id}` })));
            const replies = await Promise.all(asked.map(({ id, words }) => post(id, words)));
            for (const [i, { text }] of replies.entries())
                assert.deepEqual({ id: idOf(text), words: textOf(text) }, asked[i]);
        });
    });
