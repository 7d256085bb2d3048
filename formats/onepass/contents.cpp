#include "formats/onepass/contents.h"

#include <cinttypes>
#include <cstring>

#include "engine/core/cursor.h"

namespace onepass::format {

namespace {

Status check_header(std::span<const uint8_t> head, uint64_t file_size, uint32_t* sections) noexcept {
  if (head.size() >= magic.size() && std::memcmp(head.data(), magic.data(), magic.size()) != 0) {
    return make_error(Code::bad_magic, 0, "header", "this is not a .onepass file");
  }
  if (head.size() < header_bytes) {
    return make_error(Code::truncated, head.size(), "header", "the file ends inside its header: fetch it again");
  }
  Cursor cursor(head.first(header_bytes));
  cursor.bytes(magic.size());
  const uint32_t file_version = cursor.u32(), endian = cursor.u32(), flags = cursor.u32();
  *sections = cursor.u32();
  const uint64_t declared = cursor.u64();
  if (endian != endian_tag) {
    return make_error(Code::bad_endian, 12, "header", "the endian tag is 0x%08" PRIX32 ", not 0x01020304", endian);
  }
  if (file_version != version) {
    return make_error(Code::bad_version, 8, "header",
                      "the file has version %" PRIu32 ", this program reads version 1: update it or convert again",
                      file_version);
  }
  if (flags != 0) return make_error(Code::unknown_flags, 16, "header", "unknown flags 0x%08" PRIX32, flags);
  if (declared > file_size) {
    return make_error(Code::truncated, file_size, "header",
                      "the file has %" PRIu64 " of its %" PRIu64 " bytes: fetch it again", file_size, declared);
  }
  if (declared < file_size) {
    return make_error(Code::trailing_bytes, declared, "header", "the file goes on after its declared end");
  }
  if (*sections > max_sections) {
    return make_error(Code::limit_exceeded, 20, "header", "%" PRIu32 " sections: at most 64 are allowed", *sections);
  }
  return {};
}

// All of version 1's sections, each once, by rising id. Checked before their places, so that a missing one is named.
Status check_section_ids(std::span<const uint8_t> head, uint32_t count) noexcept {
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t at = header_bytes + uint64_t{i} * table_entry_bytes;
    const uint32_t id = Cursor(head.subspan(static_cast<size_t>(at))).u32();
    if (id == 0 || id > section_count) {
      return make_error(Code::bad_section, at, "sections", "unknown section %" PRIu32, id);
    }
    if (id != i + 1) {
      return make_error(Code::bad_section, at, sections[i < section_count ? i : id - 1].name,
                        "entry %" PRIu32 " of the table has id %" PRIu32 ": the ids must be 1 to 7 in this order",
                        i + 1, id);
    }
  }
  if (count != section_count) {
    return make_error(Code::bad_section, header_bytes + uint64_t{count} * table_entry_bytes, sections[count].name,
                      "the section is missing");
  }
  return {};
}

}  // namespace

Error section_truncated(const SectionBytes& section, uint64_t offset) noexcept {
  return make_error(Code::truncated, offset, section.name, "the section ends inside a value");
}

Error no_memory(std::string_view where) noexcept {
  return make_error(Code::out_of_memory, Error::no_offset, where, "no memory for the tables of the file");
}

uint64_t first_nonzero(std::span<const uint8_t> bytes, uint64_t begin, uint64_t end) noexcept {
  for (uint64_t word; end - begin >= sizeof(word); begin += sizeof(word)) {
    std::memcpy(&word, bytes.data() + begin, sizeof(word));
    if (word != 0) break;
  }
  while (begin < end && bytes[static_cast<size_t>(begin)] == 0) ++begin;
  return begin;
}

Result<SectionTable> parse_section_table(std::span<const uint8_t> head, uint64_t file_size) noexcept {
  uint32_t count = 0;
  ONEPASS_TRY(check_header(head, file_size, &count));
  const uint64_t table_end = header_bytes + uint64_t{count} * table_entry_bytes;
  if (table_end > head.size()) {
    return make_error(Code::truncated, head.size(), "sections", "the file ends inside its section table");
  }
  ONEPASS_TRY(check_section_ids(head, count));
  SectionTable table;
  std::memcpy(table.root_hash.data(), head.data() + root_hash_offset, table.root_hash.size());
  Cursor cursor(head.first(table_bytes));
  cursor.bytes(header_bytes);
  uint64_t end = table_bytes;
  for (size_t i = 0; i < section_count; ++i) {
    const uint64_t at = cursor.offset();
    cursor.u32();
    const uint32_t reserved = cursor.u32();
    Section& section = table.at[i];
    section.offset = cursor.u64();
    section.size = cursor.u64();
    const auto hash = cursor.bytes(section.hash.size());
    std::memcpy(section.hash.data(), hash.data(), hash.size());
    const uint64_t reserved_end = cursor.u64();

    const SectionSpec& spec = sections[i];
    if (reserved != 0) return make_error(Code::nonzero_padding, at + 4, spec.name, "a reserved field is not zero");
    if (reserved_end != 0) return make_error(Code::nonzero_padding, at + 56, spec.name, "a reserved field is not zero");
    if (section.size > spec.max_bytes) {
      return make_error(Code::limit_exceeded, at + 16, spec.name, "%" PRIu64 " bytes: at most %" PRIu64 " are allowed",
                        section.size, spec.max_bytes);
    }
    uint64_t expected = 0, section_end = 0;
    if (!checked_align(end, spec.alignment, &expected) || !checked_add(section.offset, section.size, &section_end)) {
      return make_error(Code::overflow, at + 8, spec.name, "the section's end overflows");
    }
    if (section.offset % spec.alignment != 0) {
      return make_error(Code::misaligned, at + 8, spec.name, "the section must start at a multiple of %" PRIu64,
                        spec.alignment);
    }
    if (section.offset != expected) {
      return make_error(Code::bad_section, at + 8, spec.name, "the section must start at %" PRIu64 ", not %" PRIu64,
                        expected, section.offset);
    }
    if (section_end > file_size) {
      return make_error(Code::truncated, at + 16, spec.name, "the file ends inside the section");
    }
    end = section_end;
  }
  if (end != file_size) {
    return make_error(Code::trailing_bytes, end, "weights", "the file goes on after its last section");
  }
  return table;
}

Status parse_contents(std::span<const uint8_t> head, const SectionTable& table, Contents& out) noexcept {
  out.table = table;
  const auto section = [&](SectionId id) {
    const Section& s = table[id];
    return SectionBytes{sections[static_cast<size_t>(id) - 1].name,
                        head.subspan(static_cast<size_t>(s.offset), static_cast<size_t>(s.size)), s.offset};
  };
  uint64_t end = table_bytes;
  for (size_t i = 0; i + 1 < section_count; ++i) {
    const uint64_t bad = first_nonzero(head, end, table.at[i].offset);
    if (bad != table.at[i].offset) {
      return make_error(Code::nonzero_padding, bad, sections[i].name, "the gap before the section is not zero");
    }
    end = table.at[i].end();
  }
  ONEPASS_TRY(parse_config(section(SectionId::config), out.config));
  ONEPASS_TRY(parse_heads(section(SectionId::heads), out));
  out.tokenizer = section(SectionId::tokenizer).bytes;
  ONEPASS_TRY(parse_metadata(section(SectionId::metadata), out.metadata));
  ONEPASS_TRY(parse_directory(section(SectionId::tensors), out));
  return parse_self_tests(section(SectionId::self_test), out);
}

}  // namespace onepass::format
