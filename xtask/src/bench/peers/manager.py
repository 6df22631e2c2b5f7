"""A pool of keys behind a `multiprocessing` manager, as a Python program would share one; workers take a key and return it.

Arguments: workers, round trips of each. Prints the time of every round trip in nanoseconds.
"""

import multiprocessing
import sys
import threading
import time
from multiprocessing.managers import BaseManager

WARM_UP = 100


class Pool:
    def __init__(self):
        self.lock = threading.Lock()
        self.lease = 0
        self.out = {}

    def acquire(self, call, provider, model, tokens, share):
        with self.lock:
            self.lease += 1
            self.out[self.lease] = (call, provider)
            return self.lease, "bench-12", "x" * 40

    def release(self, lease, tokens_in, tokens_out):
        with self.lock:
            del self.out[lease]


class Manager(BaseManager):
    pass


Manager.register("Pool", Pool)


def worker(pool, count, barrier, results):
    def once(call):
        lease, _key, _secret = pool.acquire(call, "bench", "model-of-an-ordinary-name", 2000, 500)
        pool.release(lease, 1500, 400)

    for call in range(WARM_UP):
        once(call)
    barrier.wait()
    times = []
    for call in range(count):
        begun = time.perf_counter_ns()
        once(call)
        times.append(time.perf_counter_ns() - begun)
    results.put(times)


def main():
    workers, count = int(sys.argv[1]), int(sys.argv[2])
    with Manager() as manager:
        pool = manager.Pool()
        barrier, results = multiprocessing.Barrier(workers), multiprocessing.Queue()
        processes = [
            multiprocessing.Process(target=worker, args=(pool, count, barrier, results))
            for _ in range(workers)
        ]
        for process in processes:
            process.start()
        for _ in processes:
            for nanos in results.get():
                print(nanos)
        for process in processes:
            process.join()


if __name__ == "__main__":
    main()
