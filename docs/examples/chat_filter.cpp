// A filter for chat: lines come in on stdin, and each goes out behind a mark: "local" with its best label, "ask" where
// a larger model should read it, "late" where there was no time.   chat_filter MODEL [MILLISECONDS A LINE]
#include <onepass/onepass.hpp>

#include <algorithm>
#include <iostream>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const auto model = onepass::Model::open(argv[1]);
  if (!model) return std::cerr << model.error().text() << '\n', 1;
  auto session = onepass::Session::open(*model).value();
  onepass_control control = ONEPASS_INIT(onepass_control);
  control.timeout_ms = argc > 2 ? static_cast<uint32_t>(std::stoul(argv[2])) : 0;
  session.control(control);

  onepass_policy policy = ONEPASS_INIT(onepass_policy);
  policy.min_confidence = 0.7f;
  policy.negation_and_sarcasm = 1;
  onepass_classify_options options = ONEPASS_INIT(onepass_classify_options);
  options.on_long = ONEPASS_LONG_CHUNK;
  for (std::string line; std::getline(std::cin, line);) {
    const auto answer = session.classify(line, options);
    if (!answer) {
      std::cout << "late\t" << line << std::endl;
      continue;
    }
    const auto verdict = onepass::decide(*answer, line, policy).value();
    const auto scores = answer->scores(model->heads()[0].name);
    const auto best =
        std::max_element(scores.begin(), scores.end(), [](const auto& a, const auto& b) { return a.score < b.score; });
    std::cout << (verdict.route == ONEPASS_ROUTE_LOCAL ? best->name : "ask") << '\t' << line << std::endl;
  }
}
