// The official clients against server-everything: all that it offers works through weir as it does without.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { able, connect, kinds, taskable } from './lib/clients.mjs';
import { everything, setUp, ways } from './lib/world.mjs';

const world = setUp(everything);

const roots = [{ uri: 'file:///srv/one', name: 'one' }];
const answers = {
    'sampling/createMessage': ({ messages }) => ({
        role: 'assistant',
        model: 'e2e-model',
        content: { type: 'text', text: `sampled <${messages[0].content.text}>` }
    }),
    'elicitation/create': ({ mode, requestedSchema }) => {
        if (mode === 'url') return { action: 'accept' };
        if (requestedSchema.properties.interpretation) return { action: 'accept', content: { interpretation: 'snake' } };
        return { action: 'accept', content: { name: 'Ada', integer: 7 } };
    },
    'roots/list': () => ({ roots })
};

const textOf = ({ content }) => content.map(({ text = '' }) => text).join('\n');
const toolNames = async ({ client }) => (await client.listTools()).tools.map(({ name }) => name);

/* One scene per tool of server-everything: what a call of it must bring. `me` is the connected client. */
const scenes = {
    echo: async me => {
        const message = 'a \u00e9 \u{1f30a} "quoted" \\ line\nend';
        assert.equal(textOf(await me.callTool('echo', { message })), `Echo: ${message}`);
    },
    'get-annotated-message': async me => {
        const { content } = await me.callTool('get-annotated-message', { messageType: 'error', includeImage: true });
        assert.deepEqual(content[0].annotations, { priority: 1, audience: ['user', 'assistant'] });
        assert.equal(content[1].type, 'image');
    },
    'get-env': async me => assert.ok('PATH' in JSON.parse(textOf(await me.callTool('get-env')))),
    'get-resource-links': async me => {
        const { content } = await me.callTool('get-resource-links', { count: 5 });
        assert.equal(content.filter(({ type }) => type === 'resource_link').length, 5);
    },
    'get-resource-reference': async me => {
        const { content } = await me.callTool('get-resource-reference', { resourceType: 'Blob', resourceId: 3 });
        assert.equal(content[1].resource.uri, 'demo://resource/dynamic/blob/3');
    },
    'get-structured-content': async me => {
        const { structuredContent } = await me.callTool('get-structured-content', { location: 'Chicago' });
        assert.deepEqual(structuredContent, { temperature: 36, conditions: 'Light rain / drizzle', humidity: 82 });
    },
    'get-sum': async me => assert.match(textOf(await me.callTool('get-sum', { a: 2, b: 40 })), /\b42\b/),
    'get-tiny-image': async me => {
        const { content } = await me.callTool('get-tiny-image');
        const { data } = content.find(({ type }) => type === 'image');
        assert.equal(Buffer.from(data, 'base64').subarray(1, 4).toString(), 'PNG');
    },
    'gzip-file-as-resource': async me => {
        const [name, words] = [`${randomUUID()}.gz`, 'water '.repeat(2000)];
        const data = `data:text/plain;base64,${Buffer.from(words).toString('base64')}`;
        const { content } = await me.callTool('gzip-file-as-resource', { name, data, outputType: 'resourceLink' });
        assert.equal(content[0].type, 'resource_link');
        const { contents } = await me.client.readResource({ uri: content[0].uri });
        assert.equal(gunzipSync(Buffer.from(contents[0].blob, 'base64')).toString(), words);
        await me.hears(({ method }) => method === 'notifications/resources/list_changed');
    },
    'toggle-simulated-logging': async me => {
        await me.client.setLoggingLevel('debug');
        assert.match(textOf(await me.callTool('toggle-simulated-logging')), /^Started/);
        await me.hears(({ method, params }) => method === 'notifications/message' && /level.message/.test(params.data));
        assert.match(textOf(await me.callTool('toggle-simulated-logging')), /^Stopped/);
    },
    'toggle-subscriber-updates': async me => {
        const uri = `demo://resource/dynamic/text/${1 + Math.floor(Math.random() * 1e6)}`;
        const verb = me.kind === 'client 1.x' ? 'subscribeResource' : 'subscribeResource';
        await me.client[verb]({ uri });
        assert.match(textOf(await me.callTool('toggle-subscriber-updates')), /^Started/);
        await me.hears(({ method, params }) => method === 'notifications/resources/updated' && params.uri === uri);
        assert.match(textOf(await me.callTool('toggle-subscriber-updates')), /^Stopped/);
        await me.client.unsubscribeResource({ uri });
    },
    'trigger-long-running-operation': async me => {
        const steps = [];
        const onprogress = ({ progress, total }) => steps.push([progress, total]);
        const result = await me.callTool('trigger-long-running-operation', { duration: 0.2, steps: 4 }, { onprogress });
        assert.match(textOf(result), /completed/);
        assert.deepEqual(steps.map(String), ['1,4', '2,4', '3,4', '4,4']);
    },
    'get-roots-list': async me => {
        assert.match(textOf(await me.callTool('get-roots-list')), /file:\/\/\/srv\/one/);
    },
    'trigger-elicitation-request': async me => {
        assert.match(textOf(await me.callTool('trigger-elicitation-request')), /- Name: Ada\n- Favorite Integer: 7/);
    },
    'trigger-url-elicitation': async me => {
        const call = more => me.callTool('trigger-url-elicitation', { url: 'https://example.org/', ...more });
        assert.match(textOf(await call({ elicitationId: 'first' })), /User completed the URL elicitation.*\n.*first/);
        await assert.rejects(call({ elicitationId: 'second', errorPath: true }), { code: -32042 });
    },
    'trigger-sampling-request': async me => {
        const result = await me.callTool('trigger-sampling-request', { prompt: 'tide?', maxTokens: 5 });
        assert.match(textOf(result), /sampled <Resource trigger-sampling-request context: tide\?>/);
    },
    'simulate-research-query': async me => {
        const { result, seen } = await me.callAsTask('simulate-research-query', { topic: 'python', ambiguous: true });
        assert.match(textOf(result), /# Research Report: python \(snake\)/);
        assert.equal(seen[0], 'taskCreated');
    }
};

/* Two more for a client that runs what it is asked for as tasks. */
const taskScenes = {
    'trigger-sampling-request-async': async me => {
        const said = textOf(await me.callTool('trigger-sampling-request-async', { prompt: 'ebb?' }));
        assert.match(said, /\[COMPLETED\][^]*sampled <Resource trigger-sampling-request-async context: ebb\?>/);
    },
    'trigger-elicitation-request-async': async me => {
        assert.match(textOf(await me.callTool('trigger-elicitation-request-async')), /\[COMPLETED\][^]*- Name: Ada/);
    }
};

const scenesOf = (way, kind) => () => {
    let me;
    const scene = (name, play) => test(`${kind}, ${way}: ${name}`, () => play(me));
    const connected = (at, capabilities) => connect(kind, world.url(at), { capabilities, answers: capabilities ? answers : {} });

    before(async () => {
        me = await connected(way, able);
    });
    after(() => me.close());

    for (const [name, play] of Object.entries(scenes)) scene(`tool ${name}`, play);

    scene('offers_the_17_tools_of_an_able_client_and_each_has_a_scene', async () => {
        const names = await toolNames(me);
        assert.equal(names.length, 17);
        assert.deepEqual(names.toSorted(), Object.keys(scenes).toSorted());
    });

    scene('offers_what_the_server_offers_directly', async () => {
        const other = await connected('direct', able);
        for (const list of ['listTools', 'listResourceTemplates', 'listPrompts'])
            assert.deepEqual(await me.client[list](), await other.client[list]());
        for (const fact of ['getServerVersion', 'getServerCapabilities', 'getInstructions'])
            assert.deepEqual(me.client[fact](), other.client[fact]());
        const fixed = async ({ client }) => (await client.listResources()).resources.filter(({ uri }) => uri.includes('/static/'));
        assert.ok((await fixed(me)).length > 5);
        assert.deepEqual(await fixed(me), await fixed(other));
        await other.close();
    });

    scene('offers_fewer_tools_to_a_client_that_can_nothing', async () => {
        const [bare, direct] = await Promise.all([connected(way), connected('direct')]);
        const names = await toolNames(bare);
        assert.equal(names.length, 13);
        assert.deepEqual(names, await toolNames(direct));
        await Promise.all([bare.close(), direct.close()]);
    });

    scene('resources_are_read', async () => {
        const read = async uri => (await me.client.readResource({ uri })).contents[0];
        assert.match((await read('demo://resource/dynamic/text/7')).text, /^Resource 7: /);
        const { blob } = await read('demo://resource/dynamic/blob/8');
        assert.match(Buffer.from(blob, 'base64').toString(), /^Resource 8: /);
        assert.match((await read('demo://resource/static/document/architecture.md')).text, /Everything Server/);
        await assert.rejects(read('demo://resource/nothing/at/all'), ({ code }) => Number.isInteger(code) && code < 0);
    });

    scene('prompts_are_filled_in', async () => {
        const say = async (name, args) => (await me.client.getPrompt({ name, arguments: args })).messages;
        assert.match((await say('simple-prompt'))[0].content.text, /simple prompt/);
        assert.equal((await say('args-prompt', { city: 'Kiel', state: 'SH' }))[0].content.text, "What's weather in Kiel, SH?");
        assert.match((await say('completable-prompt', { department: 'Sales', name: 'Eve' }))[0].content.text, /Eve/);
        const [, embedded] = await say('resource-prompt', { resourceType: 'Text', resourceId: '9' });
        assert.equal(embedded.content.resource.uri, 'demo://resource/dynamic/text/9');
    });

    scene('arguments_are_completed', async () => {
        const complete = async (ref, name, value, context) =>
            (await me.client.complete({ ref, argument: { name, value }, context })).completion.values;
        const prompt = { type: 'ref/prompt', name: 'completable-prompt' };
        assert.deepEqual(await complete(prompt, 'department', 'S'), ['Sales', 'Support']);
        assert.deepEqual(await complete(prompt, 'name', '', { arguments: { department: 'Sales' } }), ['David', 'Eve', 'Frank']);
        const template = { type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' };
        assert.deepEqual(await complete(template, 'resourceId', '12'), ['12']);
    });

    scene('a_cancelled_call_ends_and_the_session_goes_on', async () => {
        const stop = new AbortController();
        const call = me.callTool(
            'trigger-long-running-operation',
            { duration: 3600, steps: 36000 },
            { signal: stop.signal, onprogress: () => stop.abort('enough') }
        );
        await assert.rejects(call);
        assert.equal(textOf(await me.callTool('echo', { message: 'still here' })), 'Echo: still here');
    });

    scene('ping_is_answered', () => me.client.ping());
};

// Scenes of their own: they change what the session they run in is told.
const scenesAlone = (way, kind) => () => {
    test(`${kind}, ${way}: logging_keeps_to_the_level_that_was_set`, async () => {
        const me = await connect(kind, world.url(way));
        const { client } = me;
        const about = uri => me.heard.some(({ method, params }) => method === 'notifications/message' && params.data.includes(uri));
        const subscribe = id => client.subscribeResource({ uri: `demo://resource/dynamic/text/${id}` });
        await client.setLoggingLevel('info');
        await subscribe('1001');
        await me.hears(({ params }) => params?.data?.includes('1001'));
        await client.setLoggingLevel('error');
        await subscribe('1002');
        await client.setLoggingLevel('info');
        await subscribe('1003');
        await me.hears(({ params }) => params?.data?.includes('1003'));
        assert.ok(!about('/1002'));
        await me.close();
    });

    test(`${kind}, ${way}: changed_roots_are_asked_for_again`, async () => {
        const mine = [{ uri: 'file:///srv/before' }];
        const me = await connect(kind, world.url(way), { capabilities: able, answers: { 'roots/list': () => ({ roots: mine }) } });
        assert.match(textOf(await me.callTool('get-roots-list')), /file:\/\/\/srv\/before/);
        mine.push({ uri: 'file:///srv/after' });
        await me.client.sendRootsListChanged();
        await me.hears(({ params }) => /Roots updated: 2/.test(params?.data));
        assert.match(textOf(await me.callTool('get-roots-list')), /2 total[^]*file:\/\/\/srv\/after/);
        await me.close();
    });

    if (kind === 'client 1.x')
        test(`${kind}, ${way}: a_client_that_runs_tasks_is_asked_for_tasks`, async () => {
            const me = await connect(kind, world.url(way), { capabilities: taskable, answers });
            assert.deepEqual(
                (await toolNames(me)).toSorted(),
                [...Object.keys(scenes), ...Object.keys(taskScenes)].toSorted()
            );
            await Promise.all(Object.values(taskScenes).map(play => play(me)));
            await me.close();
        });
};

for (const way of ways)
    describe(way, { concurrency: true }, () => {
        for (const kind of Object.keys(kinds)) {
            describe(`${kind}, ${way}`, { concurrency: true }, scenesOf(way, kind));
            describe(`${kind}, ${way}, alone`, { concurrency: true }, scenesAlone(way, kind));
        }
    });
