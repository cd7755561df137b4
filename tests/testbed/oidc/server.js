// An OpenID server that nobody here wrote, with the least around it that tests need: grants without a browser, and a list of
// what became of tokens. It prints one line of JSON once it listens: {issuer, clients: [{id, secret, auth}]}.
//
// ACCESS_TOKEN_SECONDS  lifetime of access tokens (default 60)
// REDIRECT_URI          where clients are sent back to (default http://127.0.0.1:8080/callback)
// It also is a protected resource at /mcp (RFC 9728), whose tokens clients get that registered themselves (RFC 7591).
//
// LISTEN_PORT           port on 127.0.0.1 (default: a free one)

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import Provider, { errors } from 'oidc-provider';

import { MemoryAdapter } from './adapter.js';

const accessTokenSeconds = Number(process.env.ACCESS_TOKEN_SECONDS ?? 60);
const scopes = ['openid', 'email', 'offline_access'];
const events = [];

const clients = [
  { id: 'bowline-basic', auth: 'client_secret_basic' },
  { id: 'bowline-post', auth: 'client_secret_post' },
].map((client) => ({ ...client, secret: secret() }));

const server = createServer();
server.listen(Number(process.env.LISTEN_PORT ?? 0), '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  adapter: MemoryAdapter,
  clients: clients.map(({ id, secret: clientSecret, auth }) => ({
    client_id: id,
    client_secret: clientSecret,
    token_endpoint_auth_method: auth,
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types: ['code'],
    redirect_uris: [process.env.REDIRECT_URI ?? 'http://127.0.0.1:8080/callback'],
    id_token_signed_response_alg: 'ES256',
  })),
  cookies: { keys: [secret()] },
  jwks: { keys: [signingKey()] },
  responseTypes: ['code'],
  scopes,
  claims: { openid: ['sub'], email: ['email'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com` }),
  }),
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => {
        if (resource !== `${issuer}/mcp`) {
          throw new errors.InvalidTarget();
        }
        return { scope: 'files.read', audience: resource, accessTokenFormat: 'opaque' };
      },
    },
    revocation: { enabled: true },
    userinfo: { enabled: true },
  },
  // As most servers do. Without this it would take offline_access and prompt=consent.
  issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: accessTokenSeconds,
    ClientCredentials: accessTokenSeconds,
    Grant: 86400,
    IdToken: 300,
    Interaction: 600,
    RefreshToken: 86400,
    Session: 600,
  },
});

for (const name of ['refresh_token.consumed', 'refresh_token.destroyed', 'access_token.destroyed']) {
  provider.on(name, (token) => note(name, token.grantId, token.jti));
}
provider.on('grant.revoked', (_, grantId) => note('grant.revoked', grantId));

const callback = provider.callback();
server.on('request', (request, response) => {
  if (request.url === '/mcp') {
    response.setHeader('www-authenticate', `Bearer resource_metadata="${issuer}/mcp-metadata"`);
    send(response, 401, { error: 'invalid_token' });
    return;
  }
  if (request.url === '/mcp-metadata') {
    send(response, 200, {
      resource: `${issuer}/mcp`,
      authorization_servers: [issuer],
      scopes_supported: ['files.read'],
    });
    return;
  }
  if (!request.url.startsWith('/admin/')) {
    callback(request, response);
    return;
  }
  admin(request)
    .then(([status, body]) => send(response, status, body))
    .catch((error) => send(response, 500, { error: error.message }));
});
console.log(JSON.stringify({ issuer, clients }));

async function admin(request) {
  const [, , kind, id] = request.url.split('/');
  if (request.method === 'POST' && kind === 'grants') {
    return mint(JSON.parse((await text(request)) || '{}'));
  }
  if (request.method === 'DELETE' && kind === 'grants' && id) {
    return revoke(id);
  }
  if (request.method === 'GET' && kind === 'events') {
    return [200, events];
  }
  return [404, { error: 'no such admin address' }];
}

/** Makes a grant and its first tokens through the library's own models, as its consent and token endpoints do. */
async function mint({ account = 'alice', scope = scopes.join(' '), client_id: clientId = clients[0].id, resource }) {
  const client = await provider.Client.find(clientId);
  if (!client) {
    return [422, { error: 'no such client' }];
  }
  const grant = new provider.Grant({ accountId: account, clientId });
  if (resource) {
    grant.addResourceScope(resource, scope);
  } else {
    grant.addOIDCScope(scope);
  }
  const grantId = await grant.save();
  const claims = { accountId: account, client, grantId, scope, resource, gty: 'authorization_code' };
  const refreshToken = await new provider.RefreshToken(claims).save();
  const accessToken = await new provider.AccessToken(claims).save();
  return [201, {
    grant_id: grantId,
    access_token: accessToken,
    refresh_token: refreshToken,
    expires_in: accessTokenSeconds,
    scope,
  }];
}

/** Ends a grant, as when its person removes the app at the provider. */
async function revoke(grantId) {
  const grant = await provider.Grant.find(grantId);
  if (!grant) {
    return [422, { error: 'no such grant' }];
  }
  await provider.RefreshToken.revokeByGrantId(grantId);
  await provider.AccessToken.revokeByGrantId(grantId);
  await grant.destroy();
  note('grant.revoked', grantId);
  return [204];
}

function note(event, grant, token) {
  const sha256 = token && createHash('sha256').update(token).digest('hex').slice(0, 16);
  events.push({ at_ms: Date.now(), event, grant, sha256 });
}

function secret() {
  return randomBytes(32).toString('base64url');
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' };
}

async function text(request) {
  let body = '';
  for await (const chunk of request) {
    body += chunk;
  }
  return body;
}

function send(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
