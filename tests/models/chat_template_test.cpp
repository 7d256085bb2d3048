// Chat templates against what transformers makes of them (tools/dev/chat_fixtures.py). ONEPASS_CHAT_CASES names a file
// of further cases, of real tokenizers.
#include "tools/chat/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/models/expected.h"
#include "tests/support/temp_folder.h"
#include "tools/chat/jinja.h"

namespace onepass::test {
namespace {

Json read_cases(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  auto json = parse_json(text, text.size() + 1, path.filename().string());
  if (!json.ok()) throw std::runtime_error(json.error().message);
  return std::move(json).value();
}

void expect_same(const Json& file) {
  for (const Json& one : file["cases"]) {
    const auto name = one["name"].get<std::string>();
    const auto source = file["templates"][one["template"].get<std::string>()].get<std::string>();
    const auto ours = chat::render(source, one["variables"], "test");
    if (one.contains("expected")) {
      ASSERT_TRUE(ours.ok()) << name << ": " << ours.error().message;
      EXPECT_EQ(*ours, one["expected"].get<std::string>()) << name;
    } else {
      EXPECT_STREQ(code_name(ours.code()), one["error"].get<std::string>().c_str()) << name;
    }
  }
}

TEST(ChatTemplate, IsRenderedAsTransformersDoes) {
  const Json cases = read_cases(fixtures() / "chat/cases.json");
  ASSERT_GE(cases["cases"].size(), 100u);
  expect_same(cases);
  if (const char* more = std::getenv("ONEPASS_CHAT_CASES")) expect_same(read_cases(more));
}

// Whatever is cut from a template or put into it: an answer or an error, and neither a crash nor a long wait.
TEST(ChatTemplate, AnyBytesAreATemplate) {
  const Json file = read_cases(fixtures() / "chat/cases.json");
  const Json& variables = file["cases"][0]["variables"];
  for (const Json& one : file["templates"]) {
    const auto text = one.get<std::string>();
    const size_t step = 1 + text.size() / 100;
    for (size_t at = 0; at < text.size(); at += step) {
      (void)chat::render(text.substr(0, at), variables, "test");
      (void)chat::render(text.substr(at), variables, "test");
      for (const char c : {'\0', '{', '}', '%', '"', '(', ']', '-', '\xff', '9'}) {
        std::string changed = text;
        changed[at] = c;
        (void)chat::render(changed, variables, "test");
      }
    }
  }
}

TEST(ChatTemplate, NestingIsBounded) {
  const auto repeat = [](std::string_view what) {
    std::string out;
    for (int i = 0; i < 20000; ++i) out += what;
    return out;
  };
  for (const std::string& deep :
       {"{{ " + repeat("(") + "1" + repeat(")") + " }}", "{{ " + repeat("-") + "1 }}", "{{ " + repeat("not ") + "1 }}",
        "{{ " + repeat("1+") + "1 }}", "{{ 1" + repeat("|abs") + " }}", "{{ x" + repeat(".x") + " }}",
        "{{ " + repeat("[") + repeat("]") + " }}", "{{ 1" + repeat(" if 1 else 1") + " }}",
        repeat("{% if 1 %}") + repeat("{% endif %}"),
        "{% if 1 %}" + repeat("{% elif 1 %}") + repeat("{% for a in b %}")}) {
    EXPECT_EQ(chat::render(deep, Json::object(), "test").code(), Code::too_deep) << deep.substr(0, 40);
  }
}

TEST(ChatTemplate, ALongOneIsRefused) {
  EXPECT_EQ(chat::render(std::string(chat::kMaxTemplateBytes + 1, 'a'), Json::object(), "test").code(),
            Code::limit_exceeded);
}

TEST(ChatSource, IsFoundWhereTransformersKeepsIt) {
  const TempFolder folder;
  auto none = chat::read_chat_source(folder.path());
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(chat::render_chat(*none, {}, "{text}").code(), Code::missing_key);

  folder.write("tokenizer_config.json",
               R"({"bos_token": {"content": "<b>"}, "chat_template": [{"name": "tools", "template": "no"},)"
               R"({"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"}]})");
  folder.write("special_tokens_map.json", R"({"bos_token": "other", "eos_token": "<e>"})");
  auto listed = chat::read_chat_source(folder.path());
  ASSERT_TRUE(listed.ok());
  auto prompt = chat::render_chat(*listed, {}, "say {text}");
  ASSERT_TRUE(prompt.ok()) << prompt.error().message;
  EXPECT_EQ(*prompt, "<b>say {text}<e>");

  folder.write("chat_template.jinja", "{% for m in messages %}{{ m.role }} {{ m.content }} {{ mood }};{% endfor %}");
  auto own = chat::read_chat_source(folder.path());
  ASSERT_TRUE(own.ok());
  auto with_system = chat::render_chat(*own, {"Judge.", {{"mood", 3}}}, "{text}");
  ASSERT_TRUE(with_system.ok()) << with_system.error().message;
  EXPECT_EQ(*with_system, "system Judge. 3;user {text} 3;");

  folder.write("chat_template.jinja", "{% for m in messages %}twice {{ m.content }}{{ m.content }}{% endfor %}");
  auto twice = chat::read_chat_source(folder.path());
  ASSERT_TRUE(twice.ok());
  EXPECT_EQ(chat::render_chat(*twice, {}, "{text}").code(), Code::bad_value);

  folder.write("tokenizer_config.json", "[]");
  EXPECT_EQ(chat::read_chat_source(folder.path()).code(), Code::bad_type);
}

TEST(ChatSource, OfGgufHasItsTokens) {
  GgufMetadata metadata("model.gguf");
  const auto text = [](std::string value) {
    GgufValue out;
    out.type = GgufType::string;
    out.text = std::move(value);
    return out;
  };
  auto none = chat::read_chat_source(metadata);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->text, "");
  ASSERT_TRUE(metadata.add("tokenizer.chat_template", text("{{ bos_token }}{{ messages[0].content }}")));
  GgufValue tokens;
  tokens.type = GgufType::array;
  tokens.element = GgufType::string;
  tokens.texts = {"a", "<s>"};
  ASSERT_TRUE(metadata.add("tokenizer.ggml.tokens", tokens));
  GgufValue id;
  id.type = GgufType::u32;
  id.bits = 1;
  ASSERT_TRUE(metadata.add("tokenizer.ggml.bos_token_id", id));
  auto source = chat::read_chat_source(metadata);
  ASSERT_TRUE(source.ok()) << source.error().message;
  auto prompt = chat::render_chat(*source, {}, "{text}!");
  ASSERT_TRUE(prompt.ok()) << prompt.error().message;
  EXPECT_EQ(*prompt, "<s>{text}!");
}

}  // namespace
}  // namespace onepass::test
