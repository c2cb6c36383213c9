// ioredis and node-redis against Bulkhead: pipelines, transactions, publish/subscribe, blocking pops, pools, RESP2 and
// RESP3.
//
//     node node.mjs PORT
//
// Started by scripts/clients.sh. It must use the libraries as their documentation does, and nothing below them.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The libraries lie where CLIENTS_NODE says, outside of the repository's sources.
const require = createRequire(process.env.CLIENTS_NODE + "/");
const Redis = require("ioredis").default ?? require("ioredis");
const { createClient, createClientPool } = require("redis");

const port = Number(process.argv[2]);

/** Resolves once `condition` does to something true. */
async function until(condition) {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    assert(Date.now() < deadline, `in vain: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function ioredis() {
  const client = new Redis({ port, maxRetriesPerRequest: 1 });
  const other = new Redis({ port, maxRetriesPerRequest: 1 });
  await client.flushall();

  assert.equal(await client.set("key", "value", "EX", 100, "NX"), "OK");
  assert.deepEqual(await client.mget("key", "none"), ["value", null]);
  assert.equal(await client.hset("hash", { a: 1, b: 2 }), 2);
  assert.deepEqual(await client.hgetall("hash"), { a: "1", b: "2" });
  assert.equal(await client.zadd("board", 1.5, "bob", 3, "ann"), 2);
  assert.deepEqual(await client.zrange("board", 0, -1, "WITHSCORES"), ["bob", "1.5", "ann", "3"]);
  const binary = Buffer.from([0, 255, 13, 10]);
  await client.set("binary", binary);
  assert.deepEqual(await client.getBuffer("binary"), binary);
  await assert.rejects(client.incr("hash"), /WRONGTYPE/);

  const pipeline = client.pipeline();
  for (let number = 0; number < 10_000; number++) pipeline.set(`pipe:${number}`, number).get(`pipe:${number}`);
  const results = await pipeline.exec();
  assert.equal(results.length, 20_000);
  assert.deepEqual(results.at(-1), [null, "9999"]);
  const keys = [];
  for await (const some of client.scanStream({ match: "pipe:*", count: 500 })) keys.push(...some);
  assert.equal(new Set(keys).size, 10_000);

  assert.deepEqual(await client.multi().set("n", 1).incr("n").exec(), [[null, "OK"], [null, 2]]);
  await client.watch("n");
  await other.set("n", 10);
  assert.equal(await client.multi().incr("n").exec(), null);
  assert.equal(await client.get("n"), "10");

  const listener = new Redis({ port });
  const heard = [];
  listener.on("message", (channel, message) => heard.push([channel, message]));
  listener.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
  assert.equal(await listener.subscribe("news"), 1);
  assert.equal(await listener.psubscribe("news.*"), 2);
  assert.equal(await client.publish("news", "one"), 1);
  assert.equal(await client.publish("news.local", "two"), 1);
  await until(() => heard.length === 2);
  assert.deepEqual(heard, [["news", "one"], ["news.*", "news.local", "two"]]);
  assert.equal(await listener.unsubscribe("news"), 1);
  assert.equal(await listener.punsubscribe("news.*"), 0);
  assert.equal(await listener.ping(), "PONG");

  const popped = other.blpop("queue", 20);
  await until(async () => /blocked_clients:1\r/.test(await client.info("clients")));
  await client.rpush("queue", "job");
  assert.deepEqual(await popped, ["queue", "job"]);
  assert.equal(await other.brpop("queue", 0.05), null);

  const named = new Redis({ port, lazyConnect: true });
  await named.connect();
  await named.call("CLIENT", "SETNAME", "smoke");
  assert.match(await client.client("LIST"), /name=smoke/);
  for (const connection of [client, other, listener, named]) await connection.quit();
  console.log(`ioredis ${require("ioredis/package.json").version}: ok`);
}

async function nodeRedis(RESP) {
  const options = { RESP, socket: { port, host: "127.0.0.1" } };
  const client = createClient(options);
  client.on("error", (error) => { throw error; });
  await client.connect();
  await client.flushAll();

  assert.equal(await client.set("key", "value", { EX: 100, NX: true }), "OK");
  assert.equal(await client.hSet("hash", { a: "1", b: "2" }), 2);
  assert.deepEqual({ ...(await client.hGetAll("hash")) }, { a: "1", b: "2" });
  assert.equal(await client.zAdd("board", [{ score: 1.5, value: "bob" }, { score: Infinity, value: "ann" }]), 2);
  assert.deepEqual((await client.zRangeWithScores("board", 0, -1)).map(({ value, score }) => [value, score]),
    [["bob", 1.5], ["ann", Infinity]]);
  assert.deepEqual([...(await client.sMembers("none"))], []);
  assert.equal(await client.geoAdd("places", { longitude: 13.361389, latitude: 38.115556, member: "Palermo" }), 1);
  assert.deepEqual(await client.geoSearch("places", { longitude: 13, latitude: 38 }, { radius: 100, unit: "km" }), ["Palermo"]);
  await assert.rejects(client.incr("hash"), /WRONGTYPE/);

  const numbers = [...Array(10_000).keys()];
  await Promise.all(numbers.map((number) => client.set(`pipe:${number}`, number.toString())));
  assert.deepEqual(await Promise.all(numbers.map((number) => client.get(`pipe:${number}`))), numbers.map(String));
  let found = 0;
  for await (const keys of client.scanIterator({ MATCH: "pipe:*", COUNT: 500 })) found += keys.length;
  assert.equal(found, 10_000);

  assert.deepEqual(await client.multi().set("n", "1").incr("n").exec(), ["OK", 2]);
  const pool = await createClientPool(options, { minimum: 1, maximum: 4 }).connect();
  await Promise.all(numbers.slice(0, 500).map(() => pool.incr("pooled")));
  assert.equal(await pool.get("pooled"), "500");
  await client.watch("n");
  await pool.set("n", "10");
  await assert.rejects(client.multi().incr("n").exec(), /watched keys/i);

  const listener = await client.duplicate().connect();
  const heard = [];
  await listener.subscribe("news", (message, channel) => heard.push([channel, message]));
  await listener.pSubscribe("news.*", (message, channel) => heard.push([channel, message]));
  await listener.sSubscribe("shard", (message, channel) => heard.push([channel, message]));
  assert.equal(await client.publish("news", "one"), 1);
  assert.equal(await client.publish("news.local", "two"), 1);
  assert.equal(await client.sPublish("shard", "three"), 1);
  await until(() => heard.length === 3);
  assert.deepEqual(heard, [["news", "one"], ["news.local", "two"], ["shard", "three"]]);
  await listener.unsubscribe();
  await listener.pUnsubscribe();
  await listener.sUnsubscribe();

  const waiting = listener.blPop("queue", 20);
  await until(async () => /blocked_clients:1\r/.test(await client.info("clients")));
  await client.rPush("queue", "job");
  const { key, element } = await waiting;
  assert.deepEqual([String(key), String(element)], ["queue", "job"]);
  assert.equal(await listener.bzPopMin("none", 0.05), null);

  assert((await client.clientList()).length >= 2);
  assert.equal((await client.configGet("maxmemory")).maxmemory, "0");
  await listener.close();
  await pool.close();
  await client.close();
  console.log(`node-redis ${require("redis/package.json").version} RESP${RESP}: ok`);
}

await ioredis();
await nodeRedis(2);
await nodeRedis(3);
