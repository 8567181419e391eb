from twisted.application.service import ServiceMaker

stampd = ServiceMaker("stampd", "stampd", "A service that puts the time before what it receives.", "stampd")
