// The server that comes with weir, behind `weir run` as `make run` has it: both eras, tools, resources, prompts, progress, and a
// tool that asks the client a question.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, kinds } from './lib/clients.mjs';
import { runWeir } from './lib/weir.mjs';
import { demo, waysThroughWeir } from './lib/world.mjs';

const textOf = ({ content }) => content.map(({ text = '' }) => text).join('\n');
const asked = [];
const answers = {
    'elicitation/create': params => {
        asked.push(params);
        return { action: 'accept', content: { name: 'Grace' } };
    }
};

/* `weir run` with the demo, speaking both eras or one. */
async function serve(...options) {
    const weir = await runWeir(['run', '--listen', '127.0.0.1:0', '--', ...demo.stdio, ...options], { signal: 'SIGINT' });
    const [url] = await weir.task.seen(/http:\/\/127\.0\.0\.1:\d+\/[^\s'"]*/);
    return { weir, url };
}

if (waysThroughWeir.length > 0)
    for (const kind of Object.keys(kinds))
        describe(`demo: ${kind}`, () => {
            let weir, url, me;
            const scene = (name, play) => test(`demo: ${kind}: ${name}`, play);
            before(async () => {
                ({ weir, url } = await serve());
                me = await connect(kind, url, { capabilities: { elicitation: { form: {} } }, answers });
            });
            after(async () => {
                await me?.close();
                await weir?.stop();
            });

            scene('speaks_the_era_of_the_client', () => {
                assert.equal(me.isLegacy, kind !== 'client 2.x auto');
                assert.equal(me.client.getServerVersion().name, 'weir-demo');
                assert.match(me.client.getInstructions(), /ask_name/);
            });

            scene('tools_are_listed_and_called', async () => {
                const { tools } = await me.client.listTools();
                assert.deepEqual(tools.map(({ name }) => name), ['echo', 'add', 'countdown', 'ask_name', 'big']); // prettier-ignore
                assert.equal(textOf(await me.callTool('echo', { message: 'žluťoučký 🐴' })), 'žluťoučký 🐴');
                const { structuredContent } = await me.callTool('add', { a: 1.5, b: 2 });
                assert.deepEqual(structuredContent, { sum: 3.5 });
                assert.equal(textOf(await me.callTool('big', { bytes: 1 << 20 })).length, 1 << 20);
            });

            scene('what_is_called_wrongly_is_told', async () => {
                const wrong = await me.callTool('add', { a: 'one', b: 2 });
                assert.ok(wrong.isError);
                assert.match(textOf(wrong), /add: `a` must be number/);
                await assert.rejects(me.callTool('crash'), { code: -32602 });
            });

            scene('progress_arrives_with_its_call', async () => {
                const steps = [];
                const onprogress = ({ progress, total, message }) => steps.push(`${progress}/${total} ${message}`);
                const done = await me.callTool('countdown', { steps: 3, interval_ms: 20 }, { onprogress });
                assert.deepEqual(steps, ['1/3 2 to go', '2/3 1 to go', '3/3 0 to go']);
                assert.equal(textOf(done), 'Counted down 3 steps.');
            });

            scene('a_call_is_cancelled', async () => {
                const stop = new AbortController();
                const call = me.callTool('countdown', { steps: 1000, interval_ms: 50 }, {
                    signal: stop.signal,
                    onprogress: () => stop.abort(new Error('enough'))
                }); // prettier-ignore
                await assert.rejects(call, /enough/);
                assert.equal(textOf(await me.callTool('echo', { message: 'still here' })), 'still here');
            });

            scene('the_client_is_asked_for_a_name', async () => {
                assert.equal(textOf(await me.callTool('ask_name')), 'Hello, Grace!');
                assert.equal(asked.at(-1).message, 'What is your name?');
            });

            scene('a_client_that_cannot_be_asked_is_greeted_all_the_same', async () => {
                const mute = await connect(kind, url);
                assert.match(textOf(await mute.callTool('ask_name')), /^Hello, stranger!/);
                await mute.close();
            });

            scene('resources_are_read_by_name_and_by_template', async () => {
                const { resources } = await me.client.listResources();
                assert.deepEqual(resources.map(({ uri }) => uri), ['demo://greeting', 'demo://calls']); // prettier-ignore
                const read = async uri => (await me.client.readResource({ uri })).contents[0].text;
                assert.match(await read('demo://greeting'), /behind weir/);
                const { resourceTemplates } = await me.client.listResourceTemplates();
                assert.equal(resourceTemplates[0].uriTemplate, 'demo://square/{n}');
                assert.equal(await read('demo://square/12'), '144');
                await assert.rejects(read('demo://none'), { code: kind === 'client 1.x' ? -32002 : -32602 }); // 2.x makes the one of the other
            });

            scene('a_resource_that_changes_tells_who_subscribed', async () => {
                const uri = 'demo://calls';
                const other = await connect(kind, url);
                const updated = ({ method, params }) => method === 'notifications/resources/updated' && params.uri === uri;
                const subscription = other.isLegacy
                    ? await other.client.subscribeResource({ uri })
                    : await other.client.listen({ resourceSubscriptions: [uri] });
                await other.callTool('echo', { message: 'one more' });
                await other.hears(updated);
                await (other.isLegacy ? other.client.unsubscribeResource({ uri }) : subscription.close());
                await other.close();
            });

            scene('prompts_are_filled_in_and_arguments_completed', async () => {
                const { prompts } = await me.client.listPrompts();
                assert.equal(prompts[0].name, 'greet');
                const { messages } = await me.client.getPrompt({ name: 'greet', arguments: { name: 'Ada', style: 'pirate' } });
                assert.match(messages[0].content.text, /Greet Ada in a pirate style/);
                const { completion } = await me.client.complete({
                    ref: { type: 'ref/prompt', name: 'greet' },
                    argument: { name: 'style', value: 'p' }
                });
                assert.deepEqual(completion.values, ['pirate', 'poetic']);
            });
        });

if (waysThroughWeir.length > 0)
    for (const [era, isModern] of Object.entries({ legacy: false, modern: true }))
        test(`demo: a client 2.x auto finds out that it speaks the ${era} era only`, async () => {
            const { weir, url } = await serve('--era', era);
            const me = await connect('client 2.x auto', url);
            assert.equal(me.isLegacy, !isModern);
            assert.equal(textOf(await me.callTool('echo', { message: era })), era);
            await me.close();
            await weir.stop();
        });
