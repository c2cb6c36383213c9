"""redis-py against Bulkhead: pools, pipelines, transactions, scripts, locks, streams, publish/subscribe, blocking pops, RESP2 and RESP3.

    redis_py.py PORT

Started by scripts/clients.sh. It must use the library as its documentation does, and nothing below it.
"""

import sys
import threading
import time

import redis

PORT = int(sys.argv[1])


def connect(**options):
    return redis.Redis(port=PORT, decode_responses=True, socket_timeout=20, **options)


def pools(client, options):
    pool = redis.BlockingConnectionPool(port=PORT, max_connections=4, timeout=20, decode_responses=True, **options)
    failures = []

    def work(number):
        try:
            shared = redis.Redis(connection_pool=pool)
            for turn in range(50):
                shared.set(f"pool:{number}:{turn}", turn)
                assert shared.get(f"pool:{number}:{turn}") == str(turn)
                shared.incr("pool:total")
        except Exception as error:  # A thread's exception would be printed and forgotten.
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert client.get("pool:total") == "400"
    pool.disconnect()


def types(client, _):
    assert client.hset("hash", mapping={"a": "1", "b": "2"}) == 2
    assert client.hgetall("hash") == {"a": "1", "b": "2"}
    assert client.hincrbyfloat("hash", "a", 0.5) == 1.5
    assert client.rpush("list", "a", "b", "c") == 3
    assert client.lrange("list", 0, -1) == ["a", "b", "c"]
    assert client.lpos("list", "c") == 2
    assert client.sadd("set", "a", "b") == 2
    assert client.smembers("set") == {"a", "b"}
    assert client.smismember("set", ["a", "z"]) in ([1, 0], [True, False])
    assert client.zadd("board", {"ann": 3, "bob": 1.5}) == 2
    board = [tuple(pair) for pair in client.zrange("board", 0, -1, withscores=True)]
    assert board == [("bob", 1.5), ("ann", 3.0)], board
    assert client.zscore("board", "bob") == 1.5
    assert [tuple(pair) for pair in client.zpopmax("board", 1)] == [("ann", 3.0)]
    assert client.setbit("bits", 7, 1) == 0 and client.bitcount("bits") == 1
    assert client.pfadd("sketch", "a", "b") == 1 and client.pfcount("sketch") == 2
    assert client.geoadd("places", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
    assert round(client.geodist("places", "Palermo", "Catania", "km")) == 166
    found = client.geosearch("places", longitude=15, latitude=37, radius=200, unit="km", withdist=True)
    assert {place[0] for place in found} == {"Palermo", "Catania"}
    assert client.sort("list", alpha=True, desc=True) == ["c", "b", "a"]
    assert sorted(client.scan_iter("h*", count=10)) == ["hash"]
    assert dict(client.hscan_iter("hash")) == {"a": "1.5", "b": "2"}
    assert {member for member, _ in client.zscan_iter("board")} == {"bob"}
    assert client.expire("hash", 100) and 0 < client.ttl("hash") <= 100
    assert client.object("encoding", "hash") in ("listpack", "ziplist")
    assert client.restore("copy", 0, redis.Redis(port=PORT).dump("list")) in (True, "OK", b"OK")
    assert client.lrange("copy", 0, -1) == ["a", "b", "c"]
    try:
        client.incr("list")
        raise AssertionError("INCR of a list went through")
    except redis.ResponseError as error:
        assert "WRONGTYPE" in str(error), error


def pipelines(client, _):
    pipe = client.pipeline(transaction=False)
    for number in range(10_000):
        pipe.set(f"pipe:{number}", number)
    assert pipe.execute() == [True] * 10_000
    pipe = client.pipeline(transaction=False)
    for number in range(10_000):
        pipe.get(f"pipe:{number}")
    assert pipe.execute() == [str(number) for number in range(10_000)]


def transactions(client, _):
    with client.pipeline(transaction=True) as pipe:
        assert pipe.set("balance", 100).decrby("balance", 30).get("balance").execute() == [True, 70, "70"]
    with client.pipeline() as pipe:
        pipe.watch("balance")
        balance = int(pipe.get("balance"))
        client.set("balance", 5)
        pipe.multi()
        pipe.set("balance", balance + 1)
        try:
            pipe.execute()
            raise AssertionError("EXEC went through though the key was changed")
        except redis.WatchError:
            pass
    assert client.get("balance") == "5"

    def double(pipe):
        value = int(pipe.get("balance"))
        pipe.multi()
        pipe.set("balance", value * 2)

    client.transaction(double, "balance")
    assert client.get("balance") == "10"
    pipe = client.pipeline()
    pipe.set("text", "x").incr("text").get("text")
    results = pipe.execute(raise_on_error=False)
    assert results[0] is True and isinstance(results[1], redis.ResponseError) and results[2] == "x", results


def scripts(client, _):
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1]) + 0.9")
    assert [add(keys=["sum"], args=[number]) for number in (1, 2, 3)] == [1, 3, 6]
    client.script_flush()
    assert add(keys=["sum"], args=[4]) == 10  # It is sent again by itself.
    with client.pipeline() as pipe:
        add(keys=["sum"], args=[5], client=pipe)
        assert pipe.execute() == [15]
    lock = client.lock("lock", timeout=20)
    assert lock.acquire(blocking=False) and not client.lock("lock").acquire(blocking=False)
    assert lock.extend(20) and lock.owned()
    lock.release()
    assert client.lock("lock", timeout=20).acquire(blocking=False)
    client.set("text", "x")
    try:
        client.eval("return redis.call('INCR', KEYS[1])", 1, "text")
        raise AssertionError("INCR of a text went through")
    except redis.ResponseError as error:
        assert "not an integer" in str(error), error


def streams(client, _):
    ids = [client.xadd("log", {"number": number}) for number in range(100)]
    assert client.xlen("log") == 100
    assert client.xrange("log", min=ids[10], count=2) == [(ids[10], {"number": "10"}), (ids[11], {"number": "11"})]
    assert client.xgroup_create("log", "group", id="0")
    taken = []
    for _ in range(10):
        ((name, entries),) = pairs(client.xreadgroup("group", "ann", {"log": ">"}, count=10))
        assert name == "log"
        taken += [entry_id for entry_id, _ in entries]
    assert taken == ids and client.xpending("log", "group")["pending"] == 100
    assert client.xack("log", "group", *ids[:99]) == 99
    claimed = client.xautoclaim("log", "group", "bob", min_idle_time=0)
    assert claimed[1] == [(ids[99], {"number": "99"})], claimed
    assert client.xinfo_groups("log")[0]["pending"] == 1
    waiting = threading.Timer(0.2, lambda: connect().xadd("log", {"number": "late"}))
    waiting.start()
    ((_, entries),) = pairs(client.xread({"log": "$"}, block=20_000))
    assert entries[0][1] == {"number": "late"}, entries
    waiting.join()
    assert client.xtrim("log", maxlen=5, approximate=False) == 96


def pairs(reply):
    """What XREAD answers, in RESP2 as in RESP3."""
    if not isinstance(reply, dict):
        return reply
    return [(key, entries[0]) for key, entries in reply.items()]


def messages(client, options):
    listener = connect(**options).pubsub()
    listener.subscribe("news")
    listener.psubscribe("news.*")
    confirmed = [listener.get_message(timeout=20)["type"] for _ in range(2)]
    assert confirmed == ["subscribe", "psubscribe"], confirmed
    assert client.publish("news", "one") == 1
    assert client.publish("news.local", "two") == 1
    heard = [listener.get_message(timeout=20) for _ in range(2)]
    assert [(message["type"], message["data"]) for message in heard] == [("message", "one"), ("pmessage", "two")], heard
    if options["protocol"] == 2:  # In RESP3 the answer is a plain reply, for which redis-py has no message.
        listener.ping()
        assert listener.get_message(timeout=20)["type"] == "pong"
    listener.unsubscribe()
    assert listener.get_message(timeout=20)["type"] == "unsubscribe"
    listener.close()

    heard, events = threading.Event(), []

    def hear(message):
        events.append(message["data"])
        heard.set()

    client.config_set("notify-keyspace-events", "KEA")
    listener = connect(**options).pubsub(ignore_subscribe_messages=True)
    listener.psubscribe(**{"__keyevent@0__:expired": hear})
    thread = listener.run_in_thread(sleep_time=0.01)
    # The subscription is confirmed on another connection than the one that writes.
    while client.pubsub_numpat() == 0:
        time.sleep(0.01)
    client.set("brief", "x", px=20)
    assert heard.wait(20) and events[0] == "brief", events
    thread.stop()
    thread.join()
    client.config_set("notify-keyspace-events", "")


def blocking_pops(client, options):
    results = []
    waiter = threading.Thread(target=lambda: results.append(connect(**options).blpop(["q1", "q2"], timeout=20)))
    waiter.start()
    while client.info("clients")["blocked_clients"] == 0:
        time.sleep(0.01)
    client.rpush("q2", "job")
    waiter.join()
    assert [tuple(result) for result in results] == [("q2", "job")], results
    assert client.brpop("q1", timeout=0.05) is None
    client.rpush("q1", "a", "b")
    assert client.blmove("q1", "q3", timeout=1, src="LEFT", dest="RIGHT") == "a"
    client.zadd("z1", {"m": 2})
    popped = client.bzpopmin("z1", timeout=1)
    assert tuple(popped) == ("z1", "m", 2.0), popped
    assert client.blmpop(1, 1, "q1", direction="LEFT") == ["q1", ["b"]]


def administration(client, _):
    assert client.ping() and client.echo("x") == "x"
    assert client.client_setname("smoke") and client.client_getname() == "smoke"
    mine = [entry for entry in client.client_list() if entry["name"] == "smoke"]
    assert len(mine) == 1 and int(mine[0]["id"]) == client.client_id()
    assert client.info("server")["redis_version"].startswith("7.")
    assert client.config_get("maxmemory*")["maxmemory"] == "0"
    assert client.command_count() > 150
    assert "get" in client.command()
    assert client.acl_whoami() == "default"
    assert client.acl_getuser("default")["enabled"]
    assert client.slowlog_len() >= 0 and isinstance(client.slowlog_get(), list)
    assert client.time()[0] > 1_500_000_000
    assert client.rpush("list", "a") == 1 and client.dbsize() == 1
    assert client.memory_usage("list") > 0
    assert client.lastsave() and client.role()[0] == "master"
    assert client.module_list() == []
    assert client.wait(0, 10) == 0
    assert client.reset() in (True, None, "RESET")


def main():
    for options in ({"protocol": 2}, {"protocol": 3}):
        client = connect(**options)
        for check in (pools, types, pipelines, transactions, scripts, streams, messages, blocking_pops, administration):
            client.flushall()
            check(client, options)
            print(f"redis-py {redis.__version__} RESP{options['protocol']}: {check.__name__.replace('_', ' ')}: ok", flush=True)


main()
