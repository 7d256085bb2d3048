// Hides what a model of entities (names, places, numbers) finds in the lines of stdin.   pii_filter MODEL
#include <onepass/onepass.hpp>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto model = onepass::Model::open(argv[1]);
  if (!model) return std::cerr << model.error().text() << '\n', 1;
  auto session = onepass::Session::open(*model).value();
  onepass_entity_options options = ONEPASS_INIT(onepass_entity_options);
  options.on_long = ONEPASS_LONG_ERROR;  // never a part that nobody looked at
  options.aggregation = ONEPASS_AGGREGATE_FIRST;
  for (std::string line; std::getline(std::cin, line);) {
    const auto entities = session.find_entities(line, options);
    if (!entities) {
      std::cout << "[too long to be checked]" << std::endl;
      continue;
    }
    size_t shown = 0;
    for (const onepass::Entity& entity : *entities) {
      std::cout << line.substr(shown, entity.begin - shown) << '[' << entity.group << ']';
      shown = entity.end;
    }
    std::cout << line.substr(shown) << std::endl;
  }
}
