#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "src/base/fd.h"
#include "src/base/mapping.h"

using namespace moai;

TEST_CASE("shared memory is seen through two mappings and cannot be resized") {
  auto fd = make_shared_memory("moai-test", 8192);
  REQUIRE(fd.ok());
  auto a = Mapping::shared(fd->fd(), 8192), b = Mapping::shared(fd->fd(), 8192);
  REQUIRE((a.ok() && b.ok()));
  a->data()[5000] = std::byte{42};
  CHECK(b->data()[5000] == std::byte{42});
  CHECK(ftruncate(fd->fd(), 4096) != 0);
  CHECK(ftruncate(fd->fd(), 16384) != 0);
  CHECK((fcntl(fd->fd(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(check_shared_memory(fd->fd(), 8192).ok());
  CHECK(check_shared_memory(fd->fd(), 8193).code() == StatusCode::invalid_argument);
}

TEST_CASE("a descriptor that is no sealed memory is refused") {
  auto event = make_eventfd();
  REQUIRE(event.ok());
  CHECK_FALSE(check_shared_memory(event->fd(), 1).ok());
  CHECK_FALSE(check_shared_memory(-1, 1).ok());
}

TEST_CASE("a moved mapping is unmapped once") {
  auto m = Mapping::anonymous(4096);
  REQUIRE(m.ok());
  Mapping first = std::move(*m);
  CHECK(m->data() == nullptr);
  first.data()[0] = std::byte{1};
  Mapping second;
  second = std::move(first);
  CHECK(second.bytes() == 4096);
  CHECK(second.data()[0] == std::byte{1});
}
