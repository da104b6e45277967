// Certificates that are their own authority, made by openssl when a test needs them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { run } from './process.mjs';

/* Writes FOLDER/NAME.pem and FOLDER/NAME.key for these names ("DNS:a.test,IP:127.0.0.1"). */
export async function certificate(folder, name, names) {
    const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.pem`)];
    const key = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
    const made = await run('openssl', ['req', ...key, ...files, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`]);
    assert.equal(made.code, 0, made.output);
}

/* Writes FOLDER/NAME.pem and FOLDER/NAME.key, signed by the authority FOLDER/BY.pem. */
export async function signed(folder, name, by, names = `DNS:${name}`) {
    const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.pem`)];
    const authority = ['-CA', join(folder, `${by}.pem`), '-CAkey', join(folder, `${by}.key`)];
    const key = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1', ...authority];
    const extensions = ['-addext', `subjectAltName=${names}`, '-addext', 'basicConstraints=critical,CA:FALSE'];
    const made = await run('openssl', ['req', ...key, ...files, '-subj', `/CN=${name}`, ...extensions]);
    assert.equal(made.code, 0, made.output);
}
