# docker build -t bulkhead . && docker run -p 6379:6379 -v bulkhead:/data bulkhead
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends ccache g++ libclang-dev make
WORKDIR /src
COPY . .
# The caches outlive a build: RocksDB is compiled once.
RUN --mount=type=cache,target=/root/.cache/ccache --mount=type=cache,target=/usr/local/cargo/registry \
    CC="ccache cc" CXX="ccache c++" CCACHE_NOHASHDIR=1 cargo build --release --bin bulkhead-server

FROM debian:bookworm-slim
RUN useradd --system --user-group bulkhead && install -d -o bulkhead -g bulkhead /data
COPY --from=build /src/target/release/bulkhead-server /usr/local/bin/
USER bulkhead
VOLUME /data
EXPOSE 6379
# SIGTERM drains: docker stop loses nothing.
ENTRYPOINT ["bulkhead-server", "--dir", "/data"]
# Inside a container every client is a stranger, so protected mode would refuse all of them: publish the port with care,
# or set requirepass.
CMD ["--protected-mode", "no"]
