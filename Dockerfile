# A binary that needs nothing of the machine, in an image that holds nothing else:
#
#   docker build -t apportion .
#   docker run --rm -v "$PWD:/data" apportion run --sessions sessions.parquet --orders orders.parquet
#
# Musl is linked in, so the file /apportion runs on any Linux of its architecture:
#
#   docker create --name built apportion && docker cp built:/apportion . && docker rm built
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base cmake perl
WORKDIR /source
COPY . .
RUN cargo build --release --locked && strip target/release/apportion && mkdir /empty

FROM scratch
# Certificates, for stores; a folder for temporary files; and nobody to be.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65534:65534 /empty /tmp
COPY --from=build /source/target/release/apportion /apportion
COPY --from=build /source/LICENSE /LICENSE
USER 65534:65534
WORKDIR /data
ENTRYPOINT ["/apportion"]
