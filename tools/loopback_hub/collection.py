"""The collections of the Hub on loopback."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from tools.loopback_hub.access import Call, HubError, Json
from tools.loopback_hub.repository import Repository, identifier, now


class Collections:
    """All collections by their slugs; their items are repositories of the Hub."""

    def __init__(self, repositories: Mapping[tuple[str, str], Repository]) -> None:
        self.repositories = repositories
        self.by_slug: dict[str, dict[str, Json]] = {}

    def answer(self, call: Call, parts: list[str]) -> Json:
        """Do what a call to `/api/collections/…` asks for. Raises HubError."""
        if not parts and call.method == "GET":
            owners = call.query.get("owner", [])
            seen = [known for known in self.by_slug.values() if call.may_see(known["slug"], known["private"])]
            return [listed(known) for known in seen if not owners or known["owner"]["name"] in owners]
        if not parts:
            return self._create(call)
        collection = self.by_slug.get("/".join(parts[:2]))
        if collection is None or not call.may_see(collection["slug"], collection["private"]):
            raise HubError(404, "Collection not found")
        if call.method != "GET":
            call.require_write(collection["slug"], "You don't have write access to this collection")
        items = collection["items"]
        if parts[2:] == ["items"]:
            item = call.json["item"]
            if (
                item["type"] in ("model", "dataset", "space")
                and (f"{item['type']}s", item["id"]) not in self.repositories
            ):
                raise HubError(404, "item does not exist")
            if any((known["id"], known["type"]) == (item["id"], item["type"]) for known in items):
                raise HubError(409, "item already in collection")
            note = {"note": {"text": call.json["note"]}} if call.json.get("note") else {}
            items.append({"_id": identifier(item["type"], item["id"]), **item, **note})
        elif len(parts) == 4:
            index = next((index for index, item in enumerate(items) if item["_id"] == parts[3]), None)
            if index is None:
                raise HubError(404, "Collection item not found")
            item = items.pop(index)
            if call.method == "PATCH":
                note = {"note": {"text": call.json["note"]}} if "note" in call.json else {}
                items.insert(call.json.get("position", index), item | note)
        elif call.method == "PATCH":
            collection.update(call.json)
            return {"data": shown(collection)}
        elif call.method == "DELETE":
            del self.by_slug[collection["slug"]]
        return shown(collection)

    def _create(self, call: Call) -> Json:
        asked = call.json
        call.require_write(asked["namespace"], f"You can't create a collection under {asked['namespace']}")
        slug = f"{asked['namespace']}/{'-'.join(asked['title'].lower().split())}-{identifier(asked['title'])}"
        if slug in self.by_slug:
            return JSONResponse({"error": "exists", "slug": slug}, 409)
        fixed = {"theme": "blue", "upvotes": 0, "position": 0, "lastUpdated": now(), "items": []}
        owner = {"type": "user", "name": asked["namespace"]}
        known = {"title": asked["title"], "description": asked.get("description"), "private": asked["private"]}
        self.by_slug[slug] = {"slug": slug, "owner": owner, **known, **fixed}
        return shown(self.by_slug[slug])


def shown(collection: dict[str, Json]) -> Json:
    """Return a collection with its items' positions."""
    return {**collection, "items": [{**item, "position": index} for index, item in enumerate(collection["items"])]}


def listed(collection: dict[str, Json]) -> Json:
    """Return a collection as a listing has it: without its own position, with its first four items."""
    about = {key: value for key, value in shown(collection).items() if key != "position"}
    return about | {"items": about["items"][:4]}
