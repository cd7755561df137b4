// Everything in memory and nothing forgotten: the library's own memory adapter drops the oldest of a thousand entries, which a
// test would read as a grant that was revoked.

const stored = new Map();
const byGrant = new Map();

export class MemoryAdapter {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload) {
    const key = this.key(id);
    stored.set(key, payload);
    if (payload.grantId) {
      const members = byGrant.get(payload.grantId) ?? new Set();
      byGrant.set(payload.grantId, members.add(key));
    }
  }

  async find(id) {
    return stored.get(this.key(id));
  }

  async findByUid(uid) {
    return this.findWhere('uid', uid);
  }

  async findByUserCode(userCode) {
    return this.findWhere('userCode', userCode);
  }

  findWhere(member, value) {
    for (const [key, payload] of stored) {
      if (key.startsWith(`${this.model}:`) && payload[member] === value) {
        return payload;
      }
    }
    return undefined;
  }

  async consume(id) {
    stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const key of byGrant.get(grantId) ?? []) {
      stored.delete(key);
    }
    byGrant.delete(grantId);
  }
}
